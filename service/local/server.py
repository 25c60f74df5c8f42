"""The base of embedded servers: one server per folder, however many processes start it.

The server's folder has two locks. `start.lock` admits one starter at a time. `server.lock` is inherited by the server
and its children, so it is free exactly when no process of an earlier start is left, whatever a stale pid file says.

The folder belongs to us; `data` and the socket's folder belong to the account of the server.
"""

import fcntl
import hashlib
import os
import re
import shutil
import signal
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar, Self

from service.local.failure import CannotStart, disk_full_error, folder_error
from service.local.private import write_private
from service.os_account import OsAccount

MAX_SOCKET_PATH_BYTES = 103  # on macOS; Linux allows 107
MAX_FOLDER_PATH_BYTES = 900  # Postgres allows 1024 for any path below it
POLL_S = 0.01  # while something starts or ends

# Servers that this process started, by folder, until their end was noticed by any object for the folder.
_started: dict[Path, subprocess.Popen[bytes]] = {}


class EmbeddedServer(ABC):
    """A server in one folder that listens on one unix socket."""

    name: ClassVar[str]
    socket_name: ClassVar[str]
    stop_signal: ClassVar[signal.Signals]

    def __init__(self, home: Path, *, log: Path | None = None) -> None:
        self.home = home.absolute()
        self.log = log or self.home / "log"
        self.account = OsAccount.for_servers()
        self.data = self.home / "data"
        self.socket_folder = socket_folder_for(self.home, self.socket_name)

    @abstractmethod
    def is_ready(self) -> bool:
        """Whether it serves clients."""

    @abstractmethod
    def _prepare(self, lock: int) -> None:
        """Prepare the data; every process started for that inherits `lock`."""

    @abstractmethod
    def _command(self) -> list[str]:
        """The server's command line."""

    @abstractmethod
    def _after_start(self) -> None:
        """Run once the server is ready, whether it was started or joined."""

    @property
    def socket(self) -> Path:
        """The socket's path."""
        return self.socket_folder / self.socket_name

    @property
    def running(self) -> bool:
        """Whether any process of this server is alive, ready or not."""
        if not self.home.is_dir():
            return False
        with _open_lock(self.home / "server.lock") as lock:
            return not _try_lock(lock)

    def start(self, timeout: float = 60.0) -> bool:
        """Start the server, or join a running one; return whether it was started."""
        deadline = time.monotonic() + timeout
        try:
            self._make_home()
            with _open_lock(self.home / "start.lock") as start_lock, _open_lock(self.home / "server.lock") as lock:
                fcntl.flock(start_lock, fcntl.LOCK_EX)
                self._take_from_nobody(lock, deadline)
                make_private_folder(self.socket_folder, self.account)
                started = self._start_or_join(lock, deadline)
                self._after_start()
        except OSError as error:
            raise folder_error(self.home, error) from error
        return started

    def stop(self, timeout: float = 60.0) -> None:
        """Shut the server down, whoever started it; do nothing if it is not running."""
        if not self.home.is_dir():
            return
        deadline = time.monotonic() + timeout
        with _open_lock(self.home / "start.lock") as start_lock, _open_lock(self.home / "server.lock") as lock:
            fcntl.flock(start_lock, fcntl.LOCK_EX)
            self._end(lock, deadline)

    def _end(self, lock: int, deadline: float) -> None:
        signalled = False
        while not self._has_ended(lock):
            if not signalled and self.is_ready():
                os.kill(int((self.home / "pid").read_text()), self.stop_signal)
                signalled = True
            if time.monotonic() > deadline:
                raise CannotStart(f"{self.name} in {self.home} did not end in time")
            time.sleep(POLL_S)

    def __enter__(self) -> Self:
        self._started = self.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._started:
            self.stop()

    def _make_home(self) -> None:
        if len(os.fsencode(self.home)) > MAX_FOLDER_PATH_BYTES:
            raise CannotStart(
                f"the path of the data folder has {len(os.fsencode(self.home))} bytes, and {self.name} allows "
                f"{MAX_FOLDER_PATH_BYTES}; choose a shorter one with --data"
            )
        self.home.mkdir(parents=True, exist_ok=True)
        self.home.chmod(0o700 if self.account.user is None else 0o711)
        if not self.account.has_access("-x", self.home):
            raise CannotStart(
                f"{self.name} does not run as root, and its own account (uid {self.account.uid}) cannot reach "
                f"{self.home}; choose a folder that everybody may enter with --data, for example /var/lib/saddle"
            )

    def _take_from_nobody(self, lock: int, deadline: float) -> None:
        """End the server of an earlier release, which ran as `nobody` where root started it, and take over its data."""
        nobody = OsAccount.nobody().user
        if nobody is None or not self.data.exists() or self.data.stat().st_uid != nobody:
            return
        self._end(lock, deadline)
        if self.socket_folder.exists() and self.socket_folder.stat().st_uid == nobody:
            shutil.rmtree(self.socket_folder)
        self.account.own_tree(self.data)

    def _start_or_join(self, lock: int, deadline: float) -> bool:
        while not self._has_ended(lock):  # it may still be starting, or ending after it was killed
            if self.is_ready():
                return False
            if time.monotonic() > deadline:
                raise CannotStart(f"an earlier {self.name} in {self.home} neither answers nor ends; see {self.log}")
            time.sleep(POLL_S)
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
                start_new_session=True,  # not reached by a Ctrl-C at the terminal
                user=self.account.user,
                group=self.account.group,
                extra_groups=self.account.extra_groups,
                umask=0o077,
            )
        _started[self.home] = process
        write_private(self.home / "pid", str(process.pid))
        while not self.is_ready():
            if process.poll() is not None:
                raise self._start_error(begin)
            if time.monotonic() > deadline:
                raise CannotStart(f"{self.name} in {self.home} does not answer; see {self.log}")
            time.sleep(POLL_S)

    def _start_error(self, begin: int) -> CannotStart:
        with self.log.open("rb") as log:
            log.seek(begin)
            return self._describe_failure(log.read().decode(errors="replace"))

    def _describe_failure(self, output: str) -> CannotStart:
        """Return the error for a program that ended with this output."""
        if "No space left on device" in output:
            return disk_full_error(self.home)
        lines = [line for line in output.splitlines() if line.strip()] or ["it printed nothing"]
        errors = [line for line in lines if re.search(r"FATAL|PANIC|[Ee]rror", line)] or lines
        return CannotStart(f"{self.name} in {self.home} did not start: {errors[-1].strip()}")

    def _has_ended(self, lock: int) -> bool:
        process = _started.get(self.home)
        if process is not None and process.poll() is not None:  # poll() also reaps our own child
            del _started[self.home]
        return _try_lock(lock)


def socket_folder_for(home: Path, socket_name: str) -> Path:
    """Return a folder for the socket whose path fits into an address and needs no quoting in a URL.

    It is inside `home` if that fits, else in /tmp under a name derived from `home`. TMPDIR may differ between shells.
    """
    inside = home / "s"
    fits = len(os.fsencode(inside / socket_name)) + len(".lock") <= MAX_SOCKET_PATH_BYTES
    if fits and re.fullmatch(r"[A-Za-z0-9/._-]+", str(inside)):
        return inside
    digest = hashlib.sha256(os.fsencode(home)).hexdigest()[:16]
    return Path("/tmp") / f"saddle-{digest}"  # noqa: S108  # mode 0700, and refused if another user owns it


def make_private_folder(folder: Path, account: OsAccount) -> None:
    """Create `folder` for the account only; raise `CannotStart` if another user owns it."""
    try:
        folder.mkdir(mode=0o700)
        account.own(folder)
    except FileExistsError:
        if folder.is_symlink() or folder.stat().st_uid != account.uid:
            raise CannotStart(
                f"the folder {folder} belongs to another user; choose another folder with --data"
            ) from None


def open_lock(path: Path) -> int:
    """Open a lock file, created if it is missing; child processes inherit it only if passed on."""
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


@contextmanager
def _open_lock(path: Path) -> Iterator[int]:
    descriptor = open_lock(path)
    try:
        yield descriptor
    finally:
        os.close(descriptor)  # a child that inherited the lock keeps it


def _try_lock(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def clean_environment() -> Mapping[str, str]:
    """Return our environment without the variables that configure libpq."""
    return {key: value for key, value in os.environ.items() if not key.startswith("PG")}
