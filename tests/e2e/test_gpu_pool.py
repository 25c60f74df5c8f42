"""`up` on a machine that has GPUs, as far as its detection says: their trainers then really train on the CPU."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import httpx2 as httpx
import pytest

from service.local.port import find_free_port
from tests.fixtures.product import SPEC
from tests.harness.folders import server_folder
from tests.harness.product import ROOT, children, clean_environment, environment_of
from tests.harness.waiting import until

# the product's own commands, but for the detection, and the device that a trainer is told to train on
WORKER = """
import sys
from worker import __main__ as worker
from worker.supervisor import trainer_process
trainer_process.torch_device = lambda devices: "cpu"
sys.exit(worker.main())
"""
START = f"""
import sys
from service.local import __main__ as command, up
from service.local.commands import Commands
found = (sys.executable, "-c", 'print(\\'["cuda:0", "cuda:1", "cpu"]\\')')
commands = Commands(devices=found, worker=(sys.executable, "-c", {WORKER!r}))
options = up.Options
command.Options = lambda *given: options(*given, commands=commands)
sys.exit(command.main(sys.argv[1:]))
"""


@pytest.fixture(scope="module")
def machine() -> Iterator[httpx.Client]:
    """A client of a start with a worker for two GPUs and one for the CPU."""
    with server_folder("saddle-gpu-") as home, (home / "log").open("wb") as log:
        port = find_free_port()
        environment = clean_environment() | {"SADDLE_SPARES": "0"}
        command = [sys.executable, "-c", START, "up", "--port", str(port), "--data", str(home / "data")]
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)
        try:
            until(lambda: process.poll() is not None or b"is ready" in (home / "log").read_bytes())
            assert process.poll() is None, (home / "log").read_text()
            headers = {"Authorization": f"Bearer {(home / 'data' / 'key').read_text().strip()}"}
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=30) as client:
                yield client
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(120)


def idle(machine: httpx.Client) -> list[dict[str, Any]]:
    return [each for each in machine.get("/v1/workers").json()["items"] if each["state"] == "idle"]


def test_two_gpus_train_at_once_and_each_trainer_sees_its_own(machine: httpx.Client) -> None:
    until(lambda: len(idle(machine)) == 3)
    posted = machine.post("/v1/experiments", json=SPEC | {"epochs": 100_000, "seeds": [0, 1]}).json()
    runs = [f"/v1/runs/{each['id']}" for each in posted["runs"]]

    def train_at_once() -> bool:
        found = [machine.get(path).json() for path in runs]
        return all(each["state"] == "running" and each["step"] > 50 for each in found)

    until(train_at_once)
    assert {machine.get(path).json()["worker"] for path in runs} == {"worker-1.1", "worker-1.2"}
    workers = {each["name"]: each["pid"] for each in machine.get("/v1/workers").json()["items"]}
    assert workers["worker-1.1"] == workers["worker-1.2"]
    trainers = [environment_of(pid) for pid in children(workers["worker-1.1"])]
    assert sorted(each["CUDA_VISIBLE_DEVICES"] for each in trainers) == ["0", "1"]
    (trainer,) = [environment_of(pid) for pid in children(workers["worker-2"])]
    assert trainer["CUDA_VISIBLE_DEVICES"] == ""
    for path in runs:
        assert machine.post(f"{path}/cancel").status_code == 202
    until(lambda: all(machine.get(path).json()["state"] == "cancelled" for path in runs))


def test_a_run_trains_where_the_machine_has_a_gpu_and_a_mixed_one_serves_both(machine: httpx.Client) -> None:
    def pools() -> dict[str, str]:
        return {each["name"]: each["pool"] for each in idle(machine)}

    until(lambda: pools() == {"worker-1.1": "gpu", "worker-1.2": "gpu", "worker-2": "cpu"})
    posted: dict[str, Any] = {}
    for pool, changes in {"gpu": {}, "cpu": {"device": "cpu"}}.items():
        answer = machine.post("/v1/experiments", json=SPEC | {"epochs": 1} | changes).json()
        codes = [each["code"] for each in answer["warnings"]]
        assert (answer["runs"][0]["pool"], codes) == (pool, ["translated"] if changes else [])
        posted[pool] = answer["runs"][0]["id"]
    runs = {pool: f"/v1/runs/{run_id}" for pool, run_id in posted.items()}
    until(lambda: all(machine.get(path).json()["state"] == "succeeded" for path in runs.values()))
    workers = {pool: machine.get(path).json()["worker"].partition(".")[0] for pool, path in runs.items()}
    assert workers == {"gpu": "worker-1", "cpu": "worker-2"}
    lost = machine.post("/v1/experiments", params={"dry_run": "true"}, json=SPEC | {"pool": "tpu"}).json()
    assert "choose a pool that is served now: cpu, gpu" in lost["warnings"][0]["detail"]
