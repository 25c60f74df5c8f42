"""What the nursery forks is what `python -m` would have started."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.harness.nursery import Nursery
from tests.harness.product import children, environment_of
from tests.harness.waiting import until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere it forks nothing")
SERVER = [sys.executable, "-m", "http.server", "--bind", "127.0.0.1", "0"]


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def test_it_is_a_child_with_the_environment_the_session_and_the_output_that_it_is_given(
    nursery: Nursery, tmp_path: Path
) -> None:
    environment = {name: value for name, value in os.environ.items() if name.startswith(("PYTHON", "LD_"))}
    environment |= {"SADDLE_GIVEN": "here", "PYTHONUNBUFFERED": environment.get("PYTHONUNBUFFERED", "")}
    environment = {name: value for name, value in environment.items() if value}
    with (tmp_path / "log").open("wb") as log:
        process = nursery.popen(
            SERVER, cwd=tmp_path, env=environment, stdout=log, stderr=log, stdin=subprocess.PIPE, start_new_session=True
        )
    until(lambda: environment_of(process.pid) == environment)
    assert parent_of(process.pid) == os.getpid()
    assert process.pid in children(os.getpid())
    assert b"tests.harness.nursery" in Path(f"/proc/{process.pid}/cmdline").read_bytes(), "it was forked"
    assert os.getsid(process.pid) == process.pid
    assert Path(f"/proc/{process.pid}/cwd").resolve() == tmp_path.resolve()
    assert len(list(Path(f"/proc/{process.pid}/task").iterdir())) == 1
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == -signal.SIGTERM
    assert process.stdin is not None
    process.stdin.close()


def test_its_status_and_what_it_says_come_back(nursery: Nursery) -> None:
    command = [sys.executable, "-m", "service.db", "no such command"]
    with nursery.popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        printed, said = process.communicate()
    assert (process.returncode, printed) == (2, b"")
    assert b"usage: python -m service.db" in said


def test_what_the_interpreter_reads_at_its_start_is_a_reason_to_start_one(nursery: Nursery, tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    process = nursery.popen(SERVER, env=environment, cwd=tmp_path, stdout=subprocess.DEVNULL)
    assert b"tests.harness.nursery" not in Path(f"/proc/{process.pid}/cmdline").read_bytes()
    process.kill()
    process.wait()
