"""The data folder: its location, its layout, and the lock of the start that uses it."""

import fcntl
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from service.local.failure import CannotStart, folder_error
from service.local.private import close_to_others, write_private
from service.local.server import open_lock
from service.os_account import OsAccount

PROJECT = Path(__file__).resolve().parents[2]
SYSTEM_FOLDER = Path("/var/lib/saddle")
# The servers' folders are closed by the servers themselves.
CONTENTS = ("logs", "datasets", "checkpoints", "checkpoint-cache", "compiled", "spool", "key", "up.json", "up.lock")


@dataclass(frozen=True)
class DataFolder:
    """The folder of one installation: `postgres`, `valkey`, `logs`, `checkpoints`, the key, the lock."""

    path: Path

    @classmethod
    def locate(cls, given: Path | None, environment: Mapping[str, str]) -> "DataFolder":
        """Return the folder of --data, else of SADDLE_DATA, else the default one."""
        named = given or (Path(environment["SADDLE_DATA"]) if environment.get("SADDLE_DATA") else None)
        return cls((named or default_folder()).expanduser().absolute())

    @property
    def postgres(self) -> Path:
        """The folder of the embedded Postgres."""
        return self.path / "postgres"

    @property
    def valkey(self) -> Path:
        """The folder of the embedded Valkey."""
        return self.path / "valkey"

    @property
    def logs(self) -> Path:
        """The folder of the logs, one file per process."""
        return self.path / "logs"

    @property
    def key(self) -> Path:
        """The file of the first API key, readable by its owner only."""
        return self.path / "key"

    def create(self) -> None:
        """Create the folder, close what lies in it to other users, and check that it is writable.

        The folder itself may be entered where the servers have an account of their own; they do not read it.
        """
        try:
            if not self.path.exists():
                self.path.mkdir(parents=True)
                self.path.chmod(0o700 if OsAccount.for_servers().user is None else 0o711)
            for name in CONTENTS:
                close_to_others(self.path / name)
            self.logs.mkdir(exist_ok=True)
            for log in self.logs.iterdir():
                close_to_others(log)
            probe = self.path / ".probe"
            probe.write_bytes(bytes(4096))
            probe.unlink()
        except OSError as error:
            raise folder_error(self.path, error) from error

    def write_key(self, key: str) -> None:
        """Store the key in a file that was never readable by others."""
        write_private(self.key, key + "\n")

    def read_key(self) -> str | None:
        """Return the key of an earlier start, if any."""
        return self.key.read_text().strip() if self.key.exists() else None


class InstanceLock:
    """The lock of the one start that may run on a data folder, and its published state; both end with its process."""

    def __init__(self, folder: DataFolder) -> None:
        self._lock_path = folder.path / "up.lock"
        self._state_path = folder.path / "up.json"
        self._lock: int | None = None

    def acquire(self) -> bool:
        """Acquire the lock; return False if another start holds it."""
        self._lock = open_lock(self._lock_path)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._close()
            return False
        return True

    def is_held(self) -> bool:
        """Whether a start is running; a killed process holds no lock."""
        if not self._lock_path.exists():
            return False
        try:
            free = self.acquire()
        except PermissionError as error:
            raise CannotStart(f"{self._lock_path} belongs to another user") from error
        self._close()
        return not free

    def was_killed(self) -> bool:
        """Whether the last start was killed: one that ends removes its state."""
        return self._state_path.exists()

    def write_state(self, state: Mapping[str, Any]) -> None:
        """Publish what is running, for `status`, `down` and a second `up`."""
        write_private(self._state_path, json.dumps(state, indent=1))

    def read_state(self) -> dict[str, Any]:
        """Return the state of the running start; empty until it is first written."""
        try:
            state = json.loads(self._state_path.read_text())
        except (FileNotFoundError, ValueError):
            return {}
        return state if isinstance(state, dict) else {}

    def release(self) -> None:
        """Remove the state, then release the lock."""
        self._state_path.unlink(missing_ok=True)
        self._close()

    def _close(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def default_folder() -> Path:
    """Return `.saddle` in the project; for root a folder that the account of the servers can reach."""
    in_project = PROJECT / ".saddle"
    account = OsAccount.for_servers()
    if account.user is None:
        return in_project
    parent = SYSTEM_FOLDER.parent
    usable = os.access(parent, os.W_OK) and account.has_access("-x", parent)
    return SYSTEM_FOLDER if usable else in_project
