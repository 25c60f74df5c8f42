"""The worker's own row, shown to users: written at the start, updated within other transactions."""

import os
import socket
import time
from typing import Any

from service.db.runs import workers
from service.db.session import Connection
from service.settings import Settings
from worker.supervisor.packages import installed_packages, package_version
from worker.supervisor.visibility import torch_device

FIRST_BEAT_S = 0.5  # after a claim


class Presence:
    """Writes the row of one worker."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.packages = installed_packages()
        self._device: dict[str, Any] | None = None
        self._due = 0.0  # monotonic
        self.drained_at: float | None = None  # monotonic, when a beat first said to take no more runs; None: it may

    def announce(self, connection: Connection, device: dict[str, Any]) -> None:
        """Write the device: at the start from the settings, later as a trainer reports it."""
        devices = self.settings.slot_devices
        device = device or {"kind": torch_device(devices).partition(":")[0], "threads": self.settings.threads}
        if len(devices) > 1:
            device = device | {"count": len(devices)}
        if device == self._device:
            return
        name, pool = self.settings.worker_name, self.settings.pool
        release = package_version("saddle") or "unknown"  # unknown: a checkout that is not installed
        workers.announce(connection, name, pool, socket.gethostname(), os.getpid(), release, device, self.packages)
        self._device = device

    def beat(self, connection: Connection, state: str, run_id: str | None = None, detail: str | None = None) -> None:
        """Write the worker's state within this transaction."""
        drain = workers.beat(connection, self.settings.worker_name, state, run_id, detail)
        self.drained_at = (self.drained_at or time.monotonic()) if drain else None

    def beat_if_due(self, connection: Connection, state: str, run_id: str) -> None:
        """Write the state while it trains, at most every `beat_s`."""
        if time.monotonic() >= self._due:
            self.beat(connection, state, run_id)
            self._due = time.monotonic() + self.settings.beat_s

    def postpone_beat(self) -> None:
        """Delay the next beat, so that the first step of a new run is written first."""
        self._due = time.monotonic() + min(FIRST_BEAT_S, self.settings.beat_s)
