"""Processes that are killed, stopped, told to end, or starved."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.faults.fault import Fault, Missed, Scene, kind
from tests.faults.stack import WINDOW_S, Process


def trainer_of(worker: Process) -> int:
    """The pid of the worker's trainer."""
    children = worker.children()
    if not children:
        raise Missed(f"{worker.name} has no trainer")
    return children[0]


def send(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        raise Missed("it has just ended") from None


@kind("worker", crashes=True)
def trainer_killed(scene: Scene, fault: Fault) -> None:
    """kill -9 of a trainer in the middle of a run."""
    send(trainer_of(scene.training(fault)), signal.SIGKILL)


@kind("worker")
def trainer_stopped(scene: Scene, fault: Fault) -> None:
    """A trainer hangs for a while; its worker beats on, so nothing is taken from it."""
    pid = trainer_of(scene.training(fault))
    send(pid, signal.SIGSTOP)
    scene.sleep(0.5, 2.5, fault)
    send(pid, signal.SIGCONT)


@kind("worker", loses=True)
def worker_killed(scene: Scene, fault: Fault) -> None:
    """kill -9 of a worker whose host does not come back before the lease is over."""
    worker = scene.training(fault)
    worker.held = True
    worker.kill()
    time.sleep(WINDOW_S + 1.0)
    worker.held = False


@kind("worker", loses=True)
def worker_killed_and_back(scene: Scene, fault: Fault) -> None:
    """kill -9 of a worker that starts again at once under its own name."""
    scene.training(fault).kill()


@kind("worker", loses=True)
def worker_and_trainer_killed(scene: Scene, fault: Fault) -> None:
    """Both at the same moment, the trainer first."""
    worker = scene.training(fault)
    send(trainer_of(worker), signal.SIGKILL)
    worker.kill()


@kind("workers", loses=True)
def all_workers_killed(scene: Scene, fault: Fault) -> None:
    """kill -9 of every worker; all start again."""
    for worker in scene.stack.workers:
        worker.kill()


@kind("worker", loses=True)
def worker_zombie(scene: Scene, fault: Fault) -> None:
    """A worker is stopped past its lease and then goes on as if nothing had happened."""
    worker = scene.training(fault)
    worker.signal(signal.SIGSTOP)
    time.sleep(fault.rng.uniform(WINDOW_S + 0.8, WINDOW_S + 2.5))
    worker.signal(signal.SIGCONT)


@kind("worker")
def worker_blinked(scene: Scene, fault: Fault) -> None:
    """A worker is stopped for less than its lease: it keeps its run."""
    worker = scene.training(fault)
    worker.signal(signal.SIGSTOP)
    time.sleep(fault.rng.uniform(0.1, 0.4 * WINDOW_S))
    worker.signal(signal.SIGCONT)


def _told(scene: Scene, fault: Fault, *numbers: int) -> None:
    """Tell a worker to stop and see it end by itself with status 0."""
    worker = scene.training(fault)
    worker.held = True
    try:
        for number in numbers:
            worker.signal(number)
            time.sleep(fault.rng.uniform(0.0, 0.15))
        try:
            status = worker.popen.wait(30)  # type: ignore[union-attr]
        except subprocess.TimeoutExpired:
            worker.signal(signal.SIGUSR2)  # its log has where it stood
            time.sleep(0.5)
            worker.kill()
            fault.note = "did not end within 30 s of being told"
        else:
            fault.note = "" if status == 0 else f"ended with status {status}"
    finally:
        worker.held = False


@kind("worker")
def worker_drained(scene: Scene, fault: Fault) -> None:
    """SIGTERM: the run is checkpointed and queued again."""
    _told(scene, fault, signal.SIGTERM)


@kind("worker")
def worker_told_twice(scene: Scene, fault: Fault) -> None:
    """SIGTERM, and again."""
    _told(scene, fault, signal.SIGTERM, signal.SIGTERM)


@kind("worker")
def worker_interrupted(scene: Scene, fault: Fault) -> None:
    """SIGINT, as a person at a terminal sends it."""
    _told(scene, fault, signal.SIGINT)


@kind("api")
def api_killed(scene: Scene, fault: Fault) -> None:
    """kill -9 of one API process, its reaper and dispatcher with it."""
    scene.target(fault).kill()


@kind("apis")
def both_apis_killed(scene: Scene, fault: Fault) -> None:
    """kill -9 of every API process."""
    for api in scene.stack.apis:
        api.kill()


@kind("api")
def api_restarted(scene: Scene, fault: Fault) -> None:
    """SIGTERM of one API process, as a deployment sends it."""
    scene.target(fault).signal(signal.SIGTERM)
    scene.sleep(0.2, 0.6, fault)


@kind("api")
def reaper_paused(scene: Scene, fault: Fault) -> None:
    """An API process is stopped, and its reaper wakes up with an old memory."""
    api = scene.target(fault)
    api.signal(signal.SIGSTOP)
    scene.sleep(0.5, 4.0, fault)
    api.signal(signal.SIGCONT)


@kind("apis")
def both_reapers_paused(scene: Scene, fault: Fault) -> None:
    """All of them at once."""
    for api in scene.stack.apis:
        api.signal(signal.SIGSTOP)
    scene.sleep(0.5, 4.0, fault)
    for api in scene.stack.apis:
        api.signal(signal.SIGCONT)


@kind("none")
def processor_starved(scene: Scene, fault: Fault) -> None:
    """Six processes that compute nothing, for a while."""
    idle = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(6)]
    scene.sleep(0.5, 1.0, fault)
    for process in idle:
        process.kill()
        process.wait()


@kind("worker", loses=True, crashes=True)
def trainer_spoke_garbage(scene: Scene, fault: Fault) -> None:
    """Bytes that are no frame arrive in the pipe between a trainer and its worker."""
    pid = trainer_of(scene.training(fault))
    garbage = fault.rng.choice(
        [b"\xff" * 64, b"\0\0\0\2{}", b"\0\0\0\2[]", b"\0\0\0\x0cnot JSON 1234", b"hello world\n"]
    )
    _write(pid, garbage)
    fault.note = repr(garbage[:12])


@kind("worker")
def trainer_chattered(scene: Scene, fault: Fault) -> None:
    """A library prints a megabyte to the trainer's standard output."""
    pid = trainer_of(scene.training(fault))
    try:
        with Path(f"/proc/{pid}/fd/1").open("wb", buffering=0) as out:
            out.write(b"\x00chatter\xff " * 100_000)
    except OSError as error:
        raise Missed(str(error)) from error


def _write(pid: int, what: bytes) -> None:
    """Into the trainer's own end of its pipe: the highest descriptor that is a pipe it may write."""
    folder = Path(f"/proc/{pid}/fd")
    try:
        fds = sorted((int(each.name) for each in folder.iterdir()), reverse=True)
        for fd in fds:
            path, info = folder / str(fd), Path(f"/proc/{pid}/fdinfo/{fd}").read_text()
            writable = int(info.split("flags:")[1].split()[0], 8) & os.O_ACCMODE == os.O_WRONLY
            if fd > 2 and writable and str(path.readlink()).startswith("pipe:"):
                with path.open("wb", buffering=0) as pipe:
                    pipe.write(what)
                return
    except OSError as error:
        raise Missed(str(error)) from error
    raise Missed("no pipe was found")


def _jump(scene: Scene, fault: Fault) -> None:
    """An hour forward or back, for a while."""
    ahead = fault.rng.choice([3600.0, -3600.0, 45.0])
    process = scene.target(fault)
    process.clock.write_text(str(ahead))
    scene.sleep(1.0, 3.0, fault)
    process.clock.write_text("0")
    fault.note = f"{ahead:+.0f} s"


@kind("worker")
def worker_clock_jumped(scene: Scene, fault: Fault) -> None:
    """The wall clock of a worker's process."""
    _jump(scene, fault)


@kind("api")
def api_clock_jumped(scene: Scene, fault: Fault) -> None:
    """The wall clock of an API process."""
    _jump(scene, fault)


@kind("worker")
def clocks_jumped_in_silence(scene: Scene, fault: Fault) -> None:
    """A worker is stopped for half its lease, and in this moment every API process finds itself an hour later."""
    worker = scene.training(fault)
    worker.signal(signal.SIGSTOP)
    time.sleep(0.3 * WINDOW_S)
    for api in scene.stack.apis:
        api.clock.write_text("3600")
    time.sleep(0.25 * WINDOW_S)
    worker.signal(signal.SIGCONT)
    time.sleep(0.1)
    for api in scene.stack.apis:
        api.clock.write_text("0")
