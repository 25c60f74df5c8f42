"""The data folder: which one it is, what lies where in it, and which start owns it now."""

import fcntl
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from service.local.account import Account
from service.local.failure import CannotStart, cannot_use
from service.local.server import open_lock

PROJECT = Path(__file__).resolve().parents[2]
SYSTEM_FOLDER = Path("/var/lib/saddle")


@dataclass(frozen=True)
class DataFolder:
    """Everything one installation keeps: `postgres`, `valkey`, `logs`, `checkpoints`, the key, the running start."""

    path: Path

    @classmethod
    def chosen(cls, given: Path | None, environment: Mapping[str, str]) -> "DataFolder":
        """--data, else SADDLE_DATA, else a folder that suits who we are."""
        named = given or (Path(environment["SADDLE_DATA"]) if environment.get("SADDLE_DATA") else None)
        return cls((named or default_folder()).expanduser().absolute())

    @property
    def postgres(self) -> Path:
        """The embedded Postgres' folder."""
        return self.path / "postgres"

    @property
    def valkey(self) -> Path:
        """The embedded Valkey's folder."""
        return self.path / "valkey"

    @property
    def logs(self) -> Path:
        """One file for each process."""
        return self.path / "logs"

    @property
    def key(self) -> Path:
        """The first API key, readable by its owner alone."""
        return self.path / "key"

    def make(self) -> None:
        """Make the folder and see that it can be written."""
        try:
            self.logs.mkdir(parents=True, exist_ok=True)
            probe = self.path / ".probe"
            probe.write_bytes(bytes(4096))
            probe.unlink()
        except OSError as error:
            raise cannot_use(self.path, error) from error

    def write_key(self, key: str) -> None:
        """Keep the key under a mode that never was wider."""
        new = self.path / "key.new"
        new.unlink(missing_ok=True)
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(key + "\n")
        new.replace(self.key)

    def read_key(self) -> str | None:
        """The key of an earlier start, if there is one."""
        return self.key.read_text().strip() if self.key.exists() else None


class Ownership:
    """The one running start of a data folder: a lock that ends with its process, and what it says of itself."""

    def __init__(self, folder: DataFolder) -> None:
        self._lock_path = folder.path / "up.lock"
        self._facts = folder.path / "up.json"
        self._lock: int | None = None

    def take(self) -> bool:
        """True if nobody else runs on the folder; from now on we do."""
        self._lock = open_lock(self._lock_path)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._close()
            return False
        return True

    def taken(self) -> bool:
        """Whether a start runs; a process that was killed holds no lock."""
        if not self._lock_path.exists():
            return False
        try:
            free = self.take()
        except PermissionError as error:
            raise CannotStart(f"{self._lock_path} belongs to another user") from error
        self._close()
        return not free

    def left_behind(self) -> bool:
        """Whether the last start was killed instead of ended."""
        return self._facts.exists()

    def write(self, facts: Mapping[str, Any]) -> None:
        """Say what runs, for `status`, `down` and a second `up`."""
        new = self._facts.with_suffix(".new")
        new.write_text(json.dumps(facts, indent=1))
        new.replace(self._facts)

    def read(self) -> dict[str, Any]:
        """What the running start says of itself; nothing while it has hardly begun."""
        try:
            facts = json.loads(self._facts.read_text())
        except (FileNotFoundError, ValueError):
            return {}
        return facts if isinstance(facts, dict) else {}

    def release(self) -> None:
        """Forget what ran, then let the next start in."""
        self._facts.unlink(missing_ok=True)
        self._close()

    def _close(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def default_folder() -> Path:
    """`.saddle` beside the project; for root one that `nobody`, as whom the servers run, can reach."""
    beside = PROJECT / ".saddle"
    account = Account.for_servers()
    if account.user is None:
        return beside
    parent = SYSTEM_FOLDER.parent
    usable = os.access(parent, os.W_OK) and account.can("-x", parent)
    return SYSTEM_FOLDER if usable else beside
