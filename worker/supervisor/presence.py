"""The worker's own row, which people read: announced, beating inside transactions that happen anyway, gone."""

import os
import socket
import time
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from service.db.runs import workers
from service.db.session import Connection
from service.settings import Settings
from worker.supervisor import packages


class Presence:
    """What this worker says of itself."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.packages = packages.installed()
        self._device: dict[str, Any] | None = None
        self._due = 0.0  # monotonic

    def announce(self, connection: Connection, device: dict[str, Any]) -> None:
        """Say what it runs on: at the start what the settings tell, and more once a trainer has looked."""
        device = device or {"kind": self.settings.device.partition(":")[0], "threads": self.settings.threads}
        if device == self._device:
            return
        name, pool = self.settings.worker_name, self.settings.pool
        workers.announce(
            connection, name, pool, socket.gethostname(), os.getpid(), saddle_version(), device, self.packages
        )
        self._device = device

    def beat(self, connection: Connection, state: str, run_id: str | None = None, detail: str | None = None) -> None:
        """Say what it does, as part of this transaction."""
        workers.beat(connection, self.settings.worker_name, state, run_id, detail)

    def beat_if_due(self, connection: Connection, state: str, run_id: str) -> None:
        """The same while it trains, when the last word is `beat_s` old."""
        if time.monotonic() >= self._due:
            self.beat(connection, state, run_id)
            self._due = time.monotonic() + self.settings.beat_s

    def soon(self) -> None:
        """A run begins: its first step is to be readable before anything is said of the worker."""
        self._due = time.monotonic() + min(0.5, self.settings.beat_s)


def saddle_version() -> str:
    """The installed release; `unknown` in a checkout that is not installed."""
    try:
        return version("saddle")
    except PackageNotFoundError:
        return "unknown"
