"""Processes of the product that start within milliseconds: one process has imported everything and forks.

A session starts hundreds of processes, and each would spend seconds of a processor on imports. What is forked has no
thread, no connection and no setting yet; from there on it is what `python -m` would have started.

    python -m tests.faults.nursery     reads one order a line, answers with one line for each birth and each death
"""

import json
import os
import select
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
LOOK_S = 0.02  # between two looks for children that ended
IMPORTED = (
    *("worker.tasks", "celery.bin.worker", "celery.apps.worker", "celery.concurrency.thread", "kombu.transport.redis"),
    *("service.api.app", "service.api.server", "service.notifications", "sqlalchemy.dialects.postgresql.psycopg"),
    *("uvicorn.lifespan.on", "uvicorn.protocols.http.auto", "uvicorn.loops.auto", "alembic.config", "pyarrow"),
)


class Child:
    """One forked process, as `subprocess.Popen` would show it."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self.ended = threading.Event()

    def poll(self) -> int | None:
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        if not self.ended.wait(timeout):
            raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0.0)
        assert self.returncode is not None
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.returncode is None:
            os.kill(self.pid, number)


class Nursery:
    """The process that forks, and what it says of its children."""

    def __init__(self, environment: dict[str, str], log: Path) -> None:
        with log.open("ab") as out:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.faults.nursery"],
                cwd=ROOT,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=out,
            )
        self._children: dict[int, Child] = {}
        self._born = threading.Condition()
        self._one_at_a_time = threading.Lock()
        self._newest: Child | None = None
        threading.Thread(target=self._read, name="nursery", daemon=True).start()

    def start(self, arguments: list[str], environment: dict[str, str], log: Path) -> Child:
        """A child that runs this module with these arguments."""
        order = json.dumps({"arguments": arguments, "environment": environment, "log": str(log)})
        with self._one_at_a_time, self._born:
            self._newest = None
            assert self._process.stdin is not None
            self._process.stdin.write(order.encode() + b"\n")
            self._process.stdin.flush()
            assert self._born.wait_for(lambda: self._newest is not None, timeout=60), "the nursery does not answer"
            assert self._newest is not None
            return self._newest

    def end(self) -> None:
        """End it; what it started dies with it."""
        self._process.kill()
        self._process.wait()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            said = json.loads(line)
            with self._born:
                if "born" in said:
                    self._newest = self._children[said["born"]] = Child(said["born"])
                    self._born.notify_all()
                else:
                    child = self._children.pop(said["ended"])
                    child.returncode = said["status"]
                    child.ended.set()


def main() -> None:
    """Fork as told until nobody tells any more; only a child returns from here."""
    import gc
    import importlib

    from worker.trainer.process_end import die_with_parent

    die_with_parent()  # a harness that is killed leaves nothing running
    for name in IMPORTED:
        importlib.import_module(name)
    gc.freeze()
    orders = b""
    while True:
        _tell_of_deaths()
        if not select.select([0], [], [], LOOK_S)[0]:
            continue
        if not (read := os.read(0, 1 << 16)):
            os._exit(0)
        *whole, orders = (orders + read).split(b"\n")
        for line in whole:
            order = json.loads(line)
            pid = os.fork()
            if pid == 0:
                return _become(order)
            _tell({"born": pid})


def _tell(what: dict[str, int]) -> None:
    os.write(1, json.dumps(what).encode() + b"\n")


def _tell_of_deaths() -> None:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        _tell({"ended": pid, "status": os.waitstatus_to_exitcode(status)})


def _become(order: dict[str, Any]) -> None:
    """In the child: the environment, the log and the module of a process of its own."""
    from tests.faults import launch
    from worker.supervisor import signals

    if order["arguments"][0] == "worker":
        signals.exit_on_signal()  # as its own first line does
    os.environ.clear()
    os.environ.update(order["environment"])
    log, nothing = os.open(order["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT), os.open(os.devnull, os.O_RDONLY)
    for descriptor, number in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(descriptor, number)
    sys.argv = ["tests.faults.launch", *order["arguments"]]
    launch.main()


if __name__ == "__main__":
    main()
