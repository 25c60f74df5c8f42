"""The file that `worker.health` checks: its time is that of the last answer from Postgres."""

import os
import threading
import time
from collections.abc import Iterable
from pathlib import Path


class AliveFile:
    """Shared by the slots of a worker. It is as old as the last answer to the slot that has waited longest for one."""

    def __init__(self, path: Path | None, slots: Iterable[str]) -> None:
        self.path = path
        self._answered: dict[str, float | None] = dict.fromkeys(slots)  # monotonic; None: never
        self._lock = threading.Lock()

    def touch(self, slot: str) -> None:
        """Record that Postgres has just answered a slot."""
        with self._lock:
            self._answered[slot] = time.monotonic()
            self._write()

    def forget(self, slot: str) -> None:
        """Record that a slot has ended; the others go on."""
        with self._lock:
            self._answered.pop(slot, None)
            self._write()

    def _write(self) -> None:
        """Set the file's time. The file does not exist before every slot has had an answer."""
        times = [answered for answered in self._answered.values() if answered is not None]
        if self.path is None or not times or len(times) < len(self._answered):
            return
        self.path.touch()
        if (age_s := time.monotonic() - min(times)) > 0:
            modified = self.path.stat().st_mtime - age_s  # by the clock of the disk
            os.utime(self.path, (modified, modified))
