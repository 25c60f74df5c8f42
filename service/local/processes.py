"""Child processes: started with a log file each, started again when they die, ended in order."""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

LONGEST_PAUSE_S = 30.0  # between two starts of a child that keeps dying
STEADY_S = 60.0  # a child that lived this long starts from no pause again
LOG_BYTES = 10_000_000  # a log larger than this is set aside (one generation) at the next start
PR_SET_PDEATHSIG = 1  # Linux, prctl(2)

Say = Callable[[str], None]


@dataclass(frozen=True)
class Program:
    """What to run: a name for people and the log file, a command, what it finds in its environment."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    grace: float = 10.0  # seconds between SIGTERM and SIGKILL


class Child:
    """One program that shall run, and the process that runs it now."""

    def __init__(self, program: Program, logs: Path, folder: Path) -> None:
        self.program = program
        self.log = logs / f"{program.name.replace(':', '-')}.log"
        self.deaths = 0  # in a row
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self._began = self._due = time.monotonic()

    @property
    def pid(self) -> int | None:
        """The process that runs now, if any."""
        return None if self._process is None else self._process.pid

    def start(self) -> None:
        """Start the process; what it prints is appended to its log."""
        set_aside(self.log)
        self._began = time.monotonic()
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self.program.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self._folder,
                env={**os.environ, **self.program.environment},
                start_new_session=True,  # a Ctrl-C at the terminal is ours to pass on, in order
                preexec_fn=dies_with(os.getpid()),  # safe: we have no threads
            )

    def watch(self, say: Say) -> None:
        """Start the process again if it died: at once the first time, then after 1, 2, 4, ... 30 s."""
        now = time.monotonic()
        if self._process is None:
            if now >= self._due:
                self._start_again(say)
            return
        status = self._process.poll()
        if status is None:
            return
        self._process = None
        self.deaths = 1 if now - self._began > STEADY_S else self.deaths + 1
        pause = pause_after(self.deaths)
        self._due = now + pause
        when = f"in {pause:.0f} s" if pause else "now"
        say(f"{self.program.name} ended ({how(status)}); starting it again {when}; its log: {self.log}")

    def _start_again(self, say: Say) -> None:
        try:
            self.start()
        except OSError as error:  # a full disk or process table passes; what else runs must go on
            self.deaths += 1
            self._due = time.monotonic() + pause_after(self.deaths)
            say(f"{self.program.name} cannot be started now ({error.strerror})")

    def ask_to_end(self) -> None:
        """SIGTERM, without waiting."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()

    def ended(self) -> bool:
        """Whether no process is left."""
        return self._process is None or self._process.poll() is not None

    def kill(self) -> None:
        """SIGKILL to the process and to whatever it left in its session."""
        if self._process is not None:
            with suppress(ProcessLookupError, PermissionError):  # macOS says EPERM for a group of zombies
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()


class Children:
    """Programs that run together; started in order, ended from the last to the first."""

    def __init__(self, logs: Path, folder: Path, say: Say) -> None:
        self._logs, self._folder, self._say = logs, folder, say
        self._groups: list[list[Child]] = []

    def __iter__(self) -> Iterator[Child]:
        return (child for group in self._groups for child in group)

    def start(self, programs: Sequence[Program]) -> list[Child]:
        """Start programs that also end together."""
        group = [Child(program, self._logs, self._folder) for program in programs]
        self._groups.append(group)
        for child in group:
            child.start()
        return group

    def watch(self) -> None:
        """One look at every child."""
        for child in self:
            child.watch(self._say)

    def stop(self, hurried: Callable[[], bool] = lambda: False) -> None:
        """End all, the group started last first; `hurried` cuts the waiting short."""
        while self._groups:
            end(self._groups[-1], self._say, hurried)
            self._groups.pop()


def end(group: Sequence[Child], say: Say, hurried: Callable[[], bool]) -> None:
    """Ask every child of a group to end, wait for its grace, then kill what is left."""
    for child in group:
        child.ask_to_end()
    begin = told = time.monotonic()
    while left := [child for child in group if not child.ended()]:
        now = time.monotonic()
        names = ", ".join(child.program.name for child in left)
        grace = max(child.program.grace for child in left)
        if now - begin > grace or hurried():
            say(f"{names} did not end by itself and is killed")
            break
        if now - told > 2.0:
            told = now if told > begin else now + 8.0  # first after 2 s, then every 10 s
            say(f"waiting for {names} to end ({now - begin:.0f} of at most {grace:.0f} s; Ctrl-C again to kill)")
        time.sleep(0.05)
    for child in group:
        child.kill()


def pause_after(deaths: int) -> float:
    """Seconds before the next start after this many deaths in a row: 0, 1, 2, 4, ... 30."""
    return 0.0 if deaths <= 1 else min(2.0 ** (deaths - 2), LONGEST_PAUSE_S)


def how(status: int) -> str:
    """A wait status in words."""
    return f"exit status {status}" if status >= 0 else signal.Signals(-status).name


def set_aside(log: Path) -> None:
    """Keep a grown log as one older generation."""
    if log.exists() and log.stat().st_size > LOG_BYTES:
        log.replace(log.with_name(f"{log.name}.1"))


def dies_with(parent: int) -> Callable[[], None] | None:
    """On Linux a child gets SIGTERM when we are killed ourselves; elsewhere the next start finds its port taken."""
    if not sys.platform.startswith("linux"):
        return None
    prctl = ctypes.CDLL(None).prctl  # looked up before the fork

    def tie() -> None:
        prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # it died in between
            os._exit(1)

    return tie
