"""Removing what a death left behind: half-written checkpoints, and whole ones whose row was never committed."""

import contextlib
import logging
import shutil
from pathlib import Path

from service.db import checkpoints
from service.db.session import Engine, transaction
from service.settings import Settings
from service.storage.places import store_of
from service.storage.store import Store

log = logging.getLogger(__name__)
DAY_S = 86_400.0


def sweep(engine: Engine, store: Store, run_id: str | None = None) -> list[str]:
    """Of all runs or of one; never what a row names, nor what an attempt that is not over may be writing."""
    keys = list(store.keys(run_id))
    if not keys:
        return []
    with transaction(engine) as connection:
        gone = checkpoints.orphans(connection, keys)
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
