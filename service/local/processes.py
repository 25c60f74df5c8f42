"""Child processes, each with a log file: started, restarted when they die, stopped in order."""

import ctypes
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

MAX_RESTART_DELAY_S = 30.0  # for a child that keeps dying
STABLE_AFTER_S = 60.0  # a child that ran this long restarts without delay
LOG_BYTES = 10_000_000  # a larger log is set aside; with the one before, each process has at most twice that
PR_SET_PDEATHSIG = 1  # Linux, prctl(2)

Say = Callable[[str], None]


@dataclass(frozen=True)
class Program:
    """A command to run; `name` names its log file too, `environment` extends ours."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    grace: float = 10.0  # seconds between SIGTERM and SIGKILL


class Child:
    """A program that is kept running, and its current process."""

    def __init__(self, program: Program, logs: Path, folder: Path) -> None:
        self.program = program
        self.log = logs / f"{program.name.replace(':', '-')}.log"
        self.deaths = 0  # in a row
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self._began = self._due = time.monotonic()

    @property
    def pid(self) -> int | None:
        """The id of the current process, if any."""
        return None if self._process is None else self._process.pid

    def start(self) -> None:
        """Start the process; its output is appended to its log."""
        rotate_log(self.log)
        self._began = time.monotonic()
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self.program.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self._folder,
                env={**os.environ, **self.program.environment},
                start_new_session=True,  # we handle a Ctrl-C at the terminal, and stop children in order
                preexec_fn=death_signal_setter(os.getpid()),  # safe: this process has no threads
            )

    def restart_if_dead(self, say: Say) -> None:
        """Restart the process if it died: at once the first time, then after 1, 2, 4, ... 30 s."""
        now = time.monotonic()
        if self._process is None:
            if now >= self._due:
                self._restart(say)
            return
        status = self._process.poll()
        if status is None:
            return
        self._process = None
        self.deaths = 1 if now - self._began > STABLE_AFTER_S else self.deaths + 1
        delay_s = restart_delay_s(self.deaths)
        self._due = now + delay_s
        when = f"in {delay_s:.0f} s" if delay_s else "now"
        say(f"{self.program.name} ended ({describe_status(status)}); restarting it {when}; log: {self.log}")

    def _restart(self, say: Say) -> None:
        try:
            self.start()
        except OSError as error:  # such as a full disk; the other children must go on
            self.deaths += 1
            self._due = time.monotonic() + restart_delay_s(self.deaths)
            say(f"{self.program.name} cannot be restarted now ({error.strerror})")

    def terminate(self) -> None:
        """Send SIGTERM without waiting."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()

    def has_ended(self) -> bool:
        """Whether the process has ended."""
        return self._process is None or self._process.poll() is not None

    def kill(self) -> None:
        """Send SIGKILL to the process and its session."""
        if self._process is not None:
            with suppress(ProcessLookupError, PermissionError):  # macOS raises EPERM for a group of zombies
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()


class Children:
    """Groups of programs, started in order and stopped in the reverse order."""

    def __init__(self, logs: Path, folder: Path, say: Say) -> None:
        self._logs, self._folder, self._say = logs, folder, say
        self._groups: list[list[Child]] = []

    def __iter__(self) -> Iterator[Child]:
        return (child for group in self._groups for child in group)

    def start(self, programs: Sequence[Program]) -> list[Child]:
        """Start a group of programs, which are stopped together."""
        group = [Child(program, self._logs, self._folder) for program in programs]
        self._groups.append(group)
        for child in group:
            child.start()
        return group

    def restart_dead(self) -> None:
        """Restart the children that died and are due."""
        for child in self:
            child.restart_if_dead(self._say)

    def rotate_logs(self) -> None:
        """Set aside the logs that grew large."""
        for child in self:
            rotate_log(child.log)

    def stop(self, force: Callable[[], bool] = lambda: False) -> None:
        """Stop all groups, the last started first; children are killed without grace once `force` returns True."""
        while self._groups:
            stop_group(self._groups[-1], self._say, force)
            self._groups.pop()


def stop_group(group: Sequence[Child], say: Say, force: Callable[[], bool]) -> None:
    """Terminate the children of a group, wait for their grace, then kill those that are left."""
    for child in group:
        child.terminate()
    begin = reported = time.monotonic()
    while left := [child for child in group if not child.has_ended()]:
        now = time.monotonic()
        names = ", ".join(child.program.name for child in left)
        grace = max(child.program.grace for child in left)
        if now - begin > grace or force():
            say(f"{names} did not end in time: killing it")
            break
        if now - reported > 2.0:
            reported = now if reported > begin else now + 8.0  # first after 2 s, then every 10 s
            say(f"waiting for {names} to end ({now - begin:.0f} of at most {grace:.0f} s; Ctrl-C again to kill)")
        time.sleep(0.05)
    for child in group:
        child.kill()


def restart_delay_s(deaths: int) -> float:
    """Return the delay after this many deaths in a row: 0, 1, 2, 4, ... 30."""
    return 0.0 if deaths <= 1 else min(2.0 ** (deaths - 2), MAX_RESTART_DELAY_S)


def describe_status(status: int) -> str:
    """Return a wait status in words."""
    return f"exit status {status}" if status >= 0 else signal.Signals(-status).name


def rotate_log(log: Path) -> None:
    """Set a large log aside, in place of the one set aside before, and empty it.

    The file stays the same, because the process that writes it has it open, for appending; a line that it writes in
    between may be lost.
    """
    if log.exists() and log.stat().st_size > LOG_BYTES:
        aside, new = log.with_name(f"{log.name}.1"), log.with_name(f"{log.name}.new")
        with suppress(OSError):  # such as a full disk: then there is no copy
            shutil.copy(log, new)  # with its mode
            new.replace(aside)
        os.truncate(log, 0)
        new.unlink(missing_ok=True)


def death_signal_setter(parent: int) -> Callable[[], None] | None:
    """Return a function that has Linux send a child SIGTERM when its parent dies; None on other systems."""
    if not sys.platform.startswith("linux"):
        return None
    prctl = ctypes.CDLL(None).prctl  # looked up before the fork

    def set_signal() -> None:
        prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # it died in between
            os._exit(1)

    return set_signal
