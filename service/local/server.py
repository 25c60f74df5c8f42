"""What embedded servers have in common: one server per folder however many start it; joined, stopped, restarted.

Two locks in the server's folder. `start.lock` lets one starter at a time look and act. `server.lock` is inherited
by the server itself and by its children, so it is free exactly when no process of an earlier start is left: a stale
pid file, a reused pid or a killed parent cannot mislead anybody.

The folder stays ours; only `data` and the socket's folder belong to the account of the server.
"""

import fcntl
import hashlib
import os
import re
import signal
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar, Self

from service.local.account import Account
from service.local.failure import CannotStart, cannot_use, disk_full

SOCKET_PATH = 103  # bytes a socket's path may have on macOS; Linux allows 107
FOLDER_PATH = 900  # bytes; Postgres itself stops at 1024 for anything below it
LOOK_S = 0.01  # seconds between two looks while something starts or ends

# Servers this process started and has not yet seen end, by folder: any object for the folder may clear one away.
_started: dict[Path, subprocess.Popen[bytes]] = {}


class EmbeddedServer(ABC):
    """A server that lives in one folder and is reached through one unix socket."""

    name: ClassVar[str]
    socket_name: ClassVar[str]
    stop_signal: ClassVar[signal.Signals]

    def __init__(self, home: Path, *, log: Path | None = None) -> None:
        self.home = home.absolute()
        self.log = log or self.home / "log"
        self.account = Account.for_servers()
        self.data = self.home / "data"
        self.socket_folder = short_folder(self.home, self.socket_name)

    @abstractmethod
    def answers(self) -> bool:
        """Whether a client would be served now."""

    @abstractmethod
    def _prepare(self, lock: int) -> None:
        """Make the data ready; every process started for it inherits `lock`."""

    @abstractmethod
    def _command(self) -> list[str]:
        """The server's command line."""

    @abstractmethod
    def _settle(self) -> None:
        """What is done once the server answers, by starters and joiners alike."""

    @property
    def socket(self) -> Path:
        """The socket's path."""
        return self.socket_folder / self.socket_name

    @property
    def running(self) -> bool:
        """Whether any process of this server lives, ready or not."""
        if not self.home.is_dir():
            return False
        with _handle(self.home / "server.lock") as lock:
            return not _take(lock)

    def start(self, timeout: float = 60.0) -> bool:
        """True if this call started the server, False if it joined a running one."""
        deadline = time.monotonic() + timeout
        try:
            self._make_folders()
            with _handle(self.home / "start.lock") as turn, _handle(self.home / "server.lock") as lock:
                fcntl.flock(turn, fcntl.LOCK_EX)
                started = self._start_or_join(lock, deadline)
                self._settle()
        except OSError as error:
            raise cannot_use(self.home, error) from error
        return started

    def stop(self, timeout: float = 60.0) -> None:
        """Stop the server cleanly, whoever started it; nothing happens when none runs."""
        if not self.home.is_dir():
            return
        deadline = time.monotonic() + timeout
        with _handle(self.home / "start.lock") as turn, _handle(self.home / "server.lock") as lock:
            fcntl.flock(turn, fcntl.LOCK_EX)
            signalled = False
            while not self._gone(lock):
                if not signalled and self.answers():
                    os.kill(int((self.home / "pid").read_text()), self.stop_signal)
                    signalled = True
                if time.monotonic() > deadline:
                    raise CannotStart(f"{self.name} in {self.home} did not end within {timeout:.0f} s")
                time.sleep(LOOK_S)

    def __enter__(self) -> Self:
        self._started = self.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._started:
            self.stop()

    def _make_folders(self) -> None:
        if len(os.fsencode(self.home)) > FOLDER_PATH:
            raise CannotStart(
                f"the path of the data folder has {len(os.fsencode(self.home))} bytes and {self.name} allows "
                f"{FOLDER_PATH}; choose a shorter one with --data"
            )
        self.home.mkdir(parents=True, exist_ok=True)
        self.home.chmod(0o700 if self.account.user is None else 0o711)
        if not self.account.can("-x", self.home):
            raise CannotStart(
                f"{self.name} does not run as root, and the user `nobody` cannot reach {self.home}; "
                "choose a folder that everybody may enter with --data, for example /var/lib/saddle"
            )
        own_folder(self.socket_folder, self.account)

    def _start_or_join(self, lock: int, deadline: float) -> bool:
        while not self._gone(lock):  # one that is still starting is waited for, one that was killed winds up
            if self.answers():
                return False
            if time.monotonic() > deadline:
                raise CannotStart(f"an earlier {self.name} in {self.home} neither answers nor ends; see {self.log}")
            time.sleep(LOOK_S)
        self._prepare(lock)
        self._launch(lock, deadline)
        return True

    def _launch(self, lock: int, deadline: float) -> None:
        with self.log.open("ab") as log:
            begin = log.tell()
            process = subprocess.Popen(
                self._command(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.home,
                pass_fds=(lock,),
                start_new_session=True,  # a Ctrl-C at the terminal is not meant for it
                user=self.account.user,
                group=self.account.group,
                extra_groups=self.account.extra_groups,
                umask=0o077,
            )
        _started[self.home] = process
        (self.home / "pid").write_text(str(process.pid))
        while not self.answers():
            if process.poll() is not None:
                raise self._ended(begin)
            if time.monotonic() > deadline:
                raise CannotStart(f"{self.name} in {self.home} does not answer; see {self.log}")
            time.sleep(LOOK_S)

    def _ended(self, begin: int) -> CannotStart:
        with self.log.open("rb") as log:
            log.seek(begin)
            return self._refusal(log.read().decode(errors="replace"))

    def _refusal(self, output: str) -> CannotStart:
        """The sentence for a program that ended with this output."""
        if "No space left on device" in output:
            return disk_full(self.home)
        lines = [line for line in output.splitlines() if line.strip()] or ["it said nothing"]
        telling = [line for line in lines if re.search(r"FATAL|PANIC|[Ee]rror", line)] or lines
        return CannotStart(f"{self.name} in {self.home} did not start: {telling[-1].strip()}")

    def _gone(self, lock: int) -> bool:
        process = _started.get(self.home)
        if process is not None and process.poll() is not None:  # takes away the zombie of our own child
            del _started[self.home]
        return _take(lock)


def short_folder(home: Path, socket_name: str) -> Path:
    """A folder for the socket whose path fits into an address and needs no quoting in a URL.

    Inside `home` where that fits, else under /tmp by a name derived from `home`; not TMPDIR, which may differ
    between two shells.
    """
    inside = home / "s"
    fits = len(os.fsencode(inside / socket_name)) + len(".lock") <= SOCKET_PATH
    if fits and re.fullmatch(r"[A-Za-z0-9/._-]+", str(inside)):
        return inside
    digest = hashlib.sha256(os.fsencode(home)).hexdigest()[:16]
    return Path("/tmp") / f"saddle-{digest}"  # noqa: S108  # 0700, and refused when it belongs to another user


def own_folder(folder: Path, account: Account) -> None:
    """Make `folder` for the account alone, or refuse one that another user made."""
    try:
        folder.mkdir(mode=0o700)
        account.take(folder)
    except FileExistsError:
        if folder.is_symlink() or folder.stat().st_uid != account.uid:
            raise CannotStart(
                f"the folder {folder} belongs to another user; choose another place with --data"
            ) from None


def open_lock(path: Path) -> int:
    """A descriptor of a lock file, made if it is missing; not inherited unless passed on."""
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


@contextmanager
def _handle(path: Path) -> Iterator[int]:
    descriptor = open_lock(path)
    try:
        yield descriptor
    finally:
        os.close(descriptor)  # a lock that a child inherited stays with the child


def _take(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def clean_environment() -> Mapping[str, str]:
    """Our environment without the variables that would bend libpq or a server."""
    return {key: value for key, value in os.environ.items() if not key.startswith("PG")}
