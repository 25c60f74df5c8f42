"""A trainer reads nothing of its supervisor: neither under an account of its own nor under the same one."""

import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from service.local.folder import DataFolder
from service.os_account import TRAINERS, OsAccount
from tests.harness.product import ROOT, Process, Product
from worker.supervisor.trainer_account import TrainerAccount

AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as another account")
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="of Linux's /proc")
SECRET = "correct-horse-battery"

# Prints what a process can learn of others: each path it could read, each socket it could connect to.
ATTACK = r"""
import os, socket, sys
if sys.argv[1] == "confined":
    from worker.trainer.confinement import confine
    assert confine()
for path in sys.argv[2:]:
    try:
        if path.startswith("socket:"):
            socket.socket(socket.AF_UNIX).connect(path.removeprefix("socket:"))
        elif path.endswith("/fd"):
            [os.readlink(f"{path}/{name}") for name in os.listdir(path)]
        elif os.path.isdir(path):
            os.listdir(path)
        else:
            file = os.open(path, os.O_RDONLY)
            path.endswith("/mem") or os.read(file, 1)
        print(path)
    except OSError:
        pass
"""
HIDDEN = """
import sys, time
from service.local.folder import DataFolder
from service.os_account import hide_process
if sys.argv[1] == "hidden":
    hide_process()
print("up", flush=True)
time.sleep(60)
"""


def parts_of(pid: int) -> list[str]:
    return [f"/proc/{pid}/{part}" for part in ("environ", "mem", "maps", "fd")]


@pytest.fixture(scope="module")
def python() -> str:
    """An interpreter of our version that every account can run; root's own may lie in a closed home."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    for found in (sys.executable, shutil.which(version, path="/usr/local/bin:/usr/bin")):
        if found and OsAccount.unused_from(TRAINERS).has_access("-x", Path(found).resolve()):
            return found
    pytest.skip(f"no {version} that every account can run")


@pytest.fixture(scope="module")
def path() -> str:
    return f"{ROOT}:{sysconfig.get_paths()['purelib']}"


@LINUX
@AS_ROOT
@pytest.mark.parametrize(("process", "attacker", "readable"), [
    ("open", "free", True),  # which shows that the attack works
    ("hidden", "free", False),  # a supervisor
    ("open", "confined", False),  # an init or a health check, with the worker's environment, and an unhidden moment
])  # fmt: skip
def test_a_process_of_the_same_account_is_closed(
    python: str, path: str, process: str, attacker: str, readable: bool
) -> None:
    same: dict[str, Any] = {"user": 61234, "group": 61234, "extra_groups": [], "text": True, "stdout": subprocess.PIPE}
    environment = {"PYTHONPATH": path, "SECRET": SECRET}
    with subprocess.Popen([python, "-c", HIDDEN, process], env=environment, cwd=ROOT, **same) as victim:
        assert victim.stdout
        victim.stdout.readline()
        paths = parts_of(victim.pid)
        done = subprocess.run([python, "-c", ATTACK, attacker, *paths], env={"PYTHONPATH": path}, cwd=ROOT, **same)
        victim.kill()
    assert done.returncode == 0
    assert set(done.stdout.split()) == (set(paths) if readable else set())


def test_without_root_a_trainer_keeps_the_account(monkeypatch: pytest.MonkeyPatch, quick_settings: Any) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    account = TrainerAccount(quick_settings)
    assert not account.is_own
    assert account.popen() == {}
    assert account.environment() == {}


@AS_ROOT
def test_an_account_that_cannot_train_is_not_used_and_the_log_says_why(
    monkeypatch: pytest.MonkeyPatch, quick_settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sys, "executable", "/root/python")
    assert not TrainerAccount(quick_settings).is_own
    assert "trainers run as root, and can read what the worker can: uid 61100 cannot run /root/python" in caplog.text


@pytest.fixture
def quick_settings(tmp_path: Path) -> Any:
    from service.settings import Settings

    return Settings(database_url="postgresql+psycopg://nobody@nowhere/nothing", data_dir=tmp_path / "data")


@LINUX
@AS_ROOT
@pytest.mark.usefixtures("closed_to_others")
def test_a_trainer_of_roots_worker_has_its_own_account_and_trains(
    own_stack: Product, python: str, path: str, trainer_of: Callable[[Process], int]
) -> None:
    """On an upload, with checkpoints, and from a checkpoint of another run that root wrote."""
    DataFolder(own_stack.home / "data").create()
    own_stack.start_api()
    worker = start_worker(own_stack, python, path)
    rows = b"x,y\n" + b"".join(b"%d,%d\n" % (n, n % 7) for n in range(200))
    upload = own_stack.http.post(
        "/v1/datasets?name=rows.csv", content=rows, headers={"Content-Type": "application/octet-stream"}
    ).json()
    spec = {"name": "own", "dataset": {"kind": "upload", "upload": upload["id"], "predict": "y", "task": "regression"}}
    spec |= {"model": {"kind": "linear"}, "loss": {"kind": "mse"}, "optimizer": {"kind": "sgd", "lr": 1e-3}}
    spec |= {"steps": 40, "batch_size": 20, "checkpoint": {"every_steps": 10, "keep_every": 10}}
    first = own_stack.post("/v1/experiments", spec)["runs"][0]["id"]
    assert own_stack.wait_for_end(first)["state"] == "succeeded", own_stack.logs()
    data = own_stack.home / "data"
    checkpoints = [path for path in (data / "checkpoints").rglob("*") if path.is_file()]
    assert {path.stat().st_uid for path in checkpoints} == {TRAINERS}
    for each in (data / "checkpoints" / first, *(data / "checkpoints" / first).rglob("*")):
        os.chown(each, 0, 0)  # as a restored backup leaves them
    fork = own_stack.post(f"/v1/runs/{first}/forks", {"step": 20, "changes": {"steps": 50}})
    forked = own_stack.wait_for_end(fork["runs"][0]["id"])
    assert forked["state"] == "succeeded", own_stack.logs()
    trainer = trainer_of(worker)
    assert f"Uid:\t{TRAINERS}\t{TRAINERS}" in Path(f"/proc/{trainer}/status").read_text()

    content = next((data / "datasets").glob("*/content"))
    tried = [*parts_of(worker.pid), str(own_stack.postgres.passwords), str(data / "datasets")]
    tried += [f"socket:{own_stack.postgres.socket}", f"socket:{broker_socket(own_stack)}"]
    done = subprocess.run(
        [python, "-c", ATTACK, "free", *tried, str(content)],
        user=TRAINERS,
        group=TRAINERS,
        extra_groups=[],
        env={"PYTHONPATH": path},
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert (done.stdout.split(), done.stderr) == ([str(content)], "")
    assert content.stat().st_uid == 0


def start_worker(product: Product, python: str, path: str) -> Process:
    """Start a worker whose trainers run another interpreter."""
    code = f"import runpy, sys; sys.executable = {python!r}; runpy.run_module('worker', run_name='__main__')"
    login = product.database_url.replace("//saddle@", "//saddle_worker@", 1)
    settings = {"SADDLE_DATABASE_URL": login, "SADDLE_WORKER_NAME": "w1", "PYTHONPATH": path}
    with (product.home / "worker.log").open("wb") as log:
        worker = subprocess.Popen(
            [sys.executable, "-c", code], cwd=ROOT, env=product.environment | settings, stdout=log, stderr=log
        )
    product.processes.append(worker)
    return worker


def broker_socket(product: Product) -> str:
    return product.environment["SADDLE_BROKER_URL"].partition("@")[2]


@pytest.fixture
def closed_to_others() -> Any:
    """The umask of `run.py up`."""
    before = os.umask(0o077)
    yield
    os.umask(before)
