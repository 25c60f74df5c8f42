"""Cleanup after crashes and deletions: partial checkpoints, checkpoints without a row, abandoned uploads."""

import logging
import shutil
import time
from collections.abc import Sequence
from datetime import datetime

from service.db.experiments import deletion
from service.db.runs import checkpoints
from service.db.session import Engine, transaction
from service.errors import SaddleError
from service.settings import Settings
from service.storage.abandoned_uploads import remove_abandoned_uploads
from service.storage.factory import open_store
from service.storage.store import Store

log = logging.getLogger(__name__)
PERIOD_S = 60.0  # between checks for deleted experiments


def remove_orphans(engine: Engine, store: Store, run_ids: Sequence[str] | None = None) -> list[str]:
    """Remove checkpoints of these runs, or of all, that no row names and no open attempt may be writing."""
    keys = [key for run_id in (run_ids if run_ids is not None else [None]) for key in store.keys(run_id)]
    if not keys:
        return []
    with transaction(engine) as connection:
        orphans = checkpoints.find_orphans(connection, keys)
    for key in orphans:
        log.info("removing %s: no row names it", key)
        store.remove(key)
    return orphans


def clean_up_at_start(engine: Engine, settings: Settings) -> None:
    """Remove leftovers of earlier processes and this worker's cache; the caller holds the lock of its name."""
    shutil.rmtree(settings.checkpoint_cache, ignore_errors=True)
    remove_abandoned_uploads(settings.dataset_dir / ".incoming")
    try:
        remove_orphans(engine, open_store(settings))
    except OSError as error:
        log.warning("left-over checkpoints stay: %s", error)


class DeletionCleanup:
    """Removes the checkpoints of deleted experiments; several workers may do so at once."""

    def __init__(self, engine: Engine, settings: Settings) -> None:
        self._engine, self._settings = engine, settings
        self._since: datetime | None = None  # by Postgres's clock
        self._due = 0.0  # monotonic

    def run_if_due(self) -> None:
        """Run at most once a minute; what fails is retried the next time."""
        if time.monotonic() < self._due:
            return
        self._due = time.monotonic() + PERIOD_S
        try:
            with transaction(self._engine) as connection:
                run_ids, now = deletion.erased_since(connection, self._since)
            remove_orphans(self._engine, open_store(self._settings), run_ids)
        except (OSError, SaddleError) as error:
            log.warning("checkpoints of deleted experiments stay for now: %s", error)
        else:
            self._since = now
