"""Processes of the product that start within milliseconds: one process has imported everything and forks.

Each would spend a second or more of a processor on imports, a trainer two. What is forked has no thread, no connection
and no setting yet; from there on it is what `python -m` would have started, with the environment, the output, the
session and the account that it is given. It is a child of the process that asked, so `subprocess` waits for it as for
any other, and /proc shows its environment; only the command line there stays that of the nursery.

    python -m tests.harness.nursery FD [--trainers]    reads one order a message, answers with a process id
"""

import contextlib
import ctypes
import inspect
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
NAME = "nursery"  # of the process, as ps and /proc show it
PR_SET_DUMPABLE, PR_SET_NAME, PR_SET_CHILD_SUBREAPER = 4, 15, 36
READ_AT_START = ("PYTHON", "LD_", "MALLOC_", "OPENBLAS_", "MKL_")  # only when it starts
SINGLE = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}  # no pool of threads to lose
IMPORTED = (
    *("worker.tasks", "celery.bin.worker", "celery.apps.worker", "celery.concurrency.thread", "kombu.transport.redis"),
    *("service.api.app", "service.api.server", "service.notifications", "sqlalchemy.dialects.postgresql.psycopg"),
    *("uvicorn.lifespan.on", "uvicorn.protocols.http.auto", "uvicorn.loops.auto", "alembic.config"),
    *("service.admin.backup", "service.admin.restore", "service.admin.doctor", "service.admin.gc"),
)
OF_TRAINERS = ("torch", "worker.trainer.warm", "worker.trainer.pack.session", "worker.trainer.environment")
GIVEN = tuple(inspect.signature(subprocess.Popen._execute_child).parameters)[1:]  # type: ignore[attr-defined]
MAX_ORDER = 1 << 17  # bytes; an environment is a few thousand
ROOM = {"NURSERY_ROOM": "." * (1 << 15)}  # for the environments of what is forked, where /proc shows it
ENV_START, ENV_END = 47, 48  # in /proc/self/stat behind the name: the addresses of the environment at the start


class Nursery:
    """The process that forks, as the one that asks sees it."""

    def __init__(self, orders: socket.socket, process: subprocess.Popen[bytes] | None = None) -> None:
        self._orders, self._process = orders, process
        self._environment = read_at_start(os.environ)  # of what it forks
        self._one_at_a_time = threading.Lock()

    @classmethod
    def start(cls, *, trainers: bool) -> "Nursery":
        """Start one; with `trainers` also trainers are forked, warm, wherever a worker of it starts one on the CPU."""
        if sys.platform != "linux":
            return cls(socket.socket())  # `popen` forks nothing there
        ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        command = [sys.executable, "-m", __name__, str(its.fileno()), *["--trainers"] * trainers]
        kept = {name: value for name, value in os.environ.items() if not name.startswith("SADDLE_")}
        with its:
            return cls(ours, subprocess.Popen(command, cwd=ROOT, env=kept | SINGLE | ROOM, pass_fds=[its.fileno()]))

    def popen(self, arguments: list[str], **options: Any) -> subprocess.Popen[bytes]:
        """Start `[sys.executable, "-m", module, ...]` as `subprocess.Popen` does; fork where that is the same."""
        given = options.get("env")
        is_same = read_at_start(os.environ if given is None else given) == self._environment
        is_same = is_same and arguments[:2] == [sys.executable, "-m"]
        if sys.platform == "linux" and is_same and not _needs_driver(arguments):
            return _Forked(self, arguments, **options)
        return subprocess.Popen(arguments, **options)

    def order(self, order: Mapping[str, Any], descriptors: list[int]) -> int:
        """Have it fork a process, and adopt that; return its id."""
        with self._one_at_a_time, _adopting():
            socket.send_fds(self._orders, [json.dumps(order).encode()], descriptors)
            answer = self._orders.recv(64)
        if not answer:
            raise OSError("the nursery has ended")
        return int(answer)

    def end(self) -> None:
        """End it; what it started goes on."""
        self._orders.close()
        if self._process is not None:
            self._process.wait()


class _Forked(subprocess.Popen[bytes]):
    """A process that the nursery forked for this one, whose child it is."""

    def __init__(self, nursery: Nursery, arguments: list[str], **options: Any) -> None:
        self._nursery = nursery
        super().__init__(arguments, **options)

    def _execute_child(self, *values: Any) -> None:
        """Do what `Popen` leaves to a fork and an exec."""
        given = dict(zip(GIVEN, values, strict=True))
        order = {name: given[name] for name in ("gid", "gids", "uid", "umask", "start_new_session")}
        order |= {"arguments": given["args"], "environment": dict(os.environ if given["env"] is None else given["env"])}
        order["folder"] = str(given["cwd"] or Path.cwd())
        pipes = given["p2cread"], given["c2pwrite"], given["errwrite"]
        self.pid = self._nursery.order(order, [own if pipe == -1 else pipe for own, pipe in enumerate(pipes)])
        self._child_created = True
        ends = (given[name] for name in ("p2cread", "p2cwrite", "c2pread", "c2pwrite", "errread", "errwrite"))
        self._close_pipe_fds(*ends)  # type: ignore[attr-defined]


def read_at_start(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that the interpreter and its libraries read only when they start."""
    return {name: value for name, value in environment.items() if name.startswith(READ_AT_START)}


def _needs_driver(arguments: list[str]) -> bool:
    """Whether it is a trainer that may find a GPU."""
    is_of_gpu = "--device" in arguments and arguments[arguments.index("--device") + 1] != "cpu"
    return is_of_gpu and any(Path("/dev").glob("nvidia*"))


def is_nursery(pid: int) -> bool:
    """Whether a child of a worker is its nursery, which is no trainer."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text().strip() == NAME
    return False


@contextlib.contextmanager
def _adopting() -> Any:
    """Be the parent, meanwhile, of what descendants leave behind: the process that the order asks for."""
    _prctl(PR_SET_CHILD_SUBREAPER, 1)
    try:
        yield
    finally:
        _prctl(PR_SET_CHILD_SUBREAPER, 0)


def _prctl(option: int, value: Any) -> None:
    if ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")


def main() -> None:
    """Fork as ordered until nobody can order any more; only a forked process returns from here."""
    import gc
    import importlib

    trainers = "--trainers" in sys.argv
    for name in IMPORTED + OF_TRAINERS * trainers:
        importlib.import_module(name)
    if trainers:
        import torch

        from worker.trainer.warm import warm_up

        torch.set_num_threads(1)
        warm_up(torch.device("cpu"))
    gc.freeze()
    assert len(list(Path("/proc/self/task").iterdir())) == 1, "a thread would be missing in what is forked"
    _serve(socket.socket(fileno=int(sys.argv[1])), trainers)


def _serve(orders: socket.socket, trainers: bool) -> None:
    _prctl(PR_SET_NAME, ctypes.c_char_p(NAME.encode()))
    while True:
        message, descriptors, *_ = socket.recv_fds(orders, MAX_ORDER, 3)
        if not message:
            os._exit(0)
        if (pid := _fork_orphan()) == 0:
            orders.close()
            return _become(json.loads(message), descriptors, trainers)
        for each in descriptors:
            os.close(each)
        orders.send(str(pid).encode())


def _fork_orphan() -> int:
    """Fork a process whose parent has ended; return its id, and 0 in it."""
    reading, writing = os.pipe()
    parent = os.fork()
    if parent == 0:
        parent = os.getpid()
        if pid := os.fork():
            os.write(writing, str(pid).encode())
            os._exit(0)
        os.close(reading)
        os.close(writing)
        while os.getppid() == parent:
            time.sleep(0.0005)
        return 0
    os.close(writing)
    os.waitpid(parent, 0)
    pid = int(os.read(reading, 32))
    os.close(reading)
    return pid


def _become(order: dict[str, Any], descriptors: list[int], trainers: bool) -> None:
    """Be the process of this order: its descriptors, account, environment and module."""
    import runpy
    import tempfile

    from service.settings import settings
    from worker.supervisor import signals

    _prctl(PR_SET_NAME, ctypes.c_char_p(b"python"))
    for number in signals.SIGNALS:
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    module, *arguments = order["arguments"][2:]
    if module == "worker":
        signals.exit_on_signal()  # as its own first line does
    for number, each in enumerate(descriptors):
        os.dup2(each, number)
    for each in set(descriptors) - {0, 1, 2}:
        os.close(each)
    if order["start_new_session"]:
        os.setsid()
    _change_account(order)
    os.chdir(order["folder"])
    os.environ.clear()
    os.environ.update(order["environment"])
    _show_environment(order["environment"])
    tempfile.tempdir = None
    settings.cache_clear()
    sys.argv = [module, *arguments]
    if module == "worker" and trainers and not _fork_trainers():
        return  # a trainer, which has ended
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def _show_environment(environment: Mapping[str, str]) -> None:
    """Write it where /proc/self/environ reads, in place of the nursery's."""
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    start, end = int(fields[ENV_START]), int(fields[ENV_END])
    shown = b"".join(f"{name}={value}\0".encode() for name, value in environment.items())
    assert len(shown) <= end - start, f"an environment of {len(shown)} bytes"
    ctypes.memmove(start, shown.ljust(end - start, b"\0"), end - start)


def _change_account(order: Mapping[str, Any]) -> None:
    if order["umask"] != -1:
        os.umask(order["umask"])
    if order["gids"] is not None:
        os.setgroups(order["gids"])
    if order["gid"] is not None:
        os.setregid(order["gid"], order["gid"])
    if order["uid"] is not None:
        os.setreuid(order["uid"], order["uid"])
        _prctl(PR_SET_DUMPABLE, 1)  # as after an exec


def _fork_trainers() -> bool:
    """Give this worker a nursery of its own, whose trainers are its children; False in a trainer that has ended."""
    from worker.supervisor import trainer_process
    from worker.trainer.process_end import die_with_parent

    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    if os.fork() == 0:
        ours.close()
        die_with_parent()
        _serve(its, trainers=False)
        return False
    its.close()
    nursery = Nursery(ours)

    trainer_process.subprocess = with_popen(nursery.popen)  # type: ignore[attr-defined]
    return True


def with_popen(start: Any) -> types.ModuleType:
    """Return the module `subprocess` with another `Popen`, for a module that starts processes."""
    changed = types.ModuleType("subprocess")
    changed.__dict__.update(subprocess.__dict__ | {"Popen": start})
    return changed


if __name__ == "__main__":
    main()
