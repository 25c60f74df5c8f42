"""Removing what a death left behind: half-written checkpoints, and whole ones whose row was never committed."""

import contextlib
import logging
import shutil
import time
from datetime import datetime
from pathlib import Path

from service.db.experiments import deletion
from service.db.runs import checkpoints
from service.db.session import Engine, transaction
from service.errors import SaddleError
from service.settings import Settings
from service.storage.places import store_of
from service.storage.store import Store

log = logging.getLogger(__name__)
DAY_S = 86_400.0
LOOK_S = 60.0


def sweep(engine: Engine, store: Store, run_id: str | None = None) -> list[str]:
    """Of all runs or of one; never what a row names, nor what an attempt that is not over may be writing."""
    keys = list(store.keys(run_id))
    if not keys:
        return []
    with transaction(engine) as connection:
        gone = checkpoints.find_orphans(connection, keys)
    for key in gone:
        log.info("removing %s: no row names it", key)
        store.remove(key)
    return gone


def sweep_at_start(engine: Engine, settings: Settings) -> None:
    """Everything that former lives left, this worker's own folder included; call it only with the name's lock."""
    shutil.rmtree(settings.checkpoint_cache, ignore_errors=True)
    sweep_uploads(settings.dataset_dir / ".incoming")
    try:
        sweep(engine, store_of(settings))
    except OSError as error:
        log.warning("left-over checkpoints stay: %s", error)


class Sweeper:
    """Removes the checkpoints of experiments that were deleted since the start; several workers may do so at once."""

    def __init__(self, engine: Engine, settings: Settings) -> None:
        self._engine, self._settings = engine, settings
        self._since: datetime | None = None  # by Postgres's clock
        self._due = 0.0  # by our own

    def look(self) -> None:
        """Once a minute at most; what could not be removed is tried again with the next look."""
        if time.monotonic() < self._due:
            return
        self._due = time.monotonic() + LOOK_S
        try:
            with transaction(self._engine) as connection:
                run_ids, now = deletion.erased_since(connection, self._since)
            for run_id in run_ids:
                sweep(self._engine, store_of(self._settings), run_id)
        except (OSError, SaddleError) as error:
            log.warning("checkpoints of deleted experiments stay for now: %s", error)
        else:
            self._since = now


def sweep_uploads(incoming: Path) -> None:
    """Uploads that broke off a day ago, by the clock of the disk they lie on."""
    if not incoming.is_dir():
        return
    with contextlib.suppress(OSError):  # another worker sweeps too, or we may only read
        mark = incoming / ".now"
        mark.touch()
        now = mark.stat().st_mtime
        for path in incoming.iterdir():
            if now - path.stat().st_mtime > DAY_S:
                path.unlink(missing_ok=True)
