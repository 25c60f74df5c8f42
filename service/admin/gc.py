"""Remove what nothing names: checkpoints, uploads, files that never became whole, rows past their time.

Nothing younger than a day is touched, nor what an open attempt may be writing, nor a checkpoint of a run that this
database does not know: it may be another's.
"""

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from service.db.admin import dump, retention
from service.db.experiments import datasets
from service.db.runs import checkpoints
from service.db.session import Engine, make_engine, transaction
from service.settings import Settings
from service.storage.factory import open_store, open_uploads

AGE_S = 86_400.0


@dataclass
class Garbage:
    """What was found: storage keys, hashes, paths, and rows by kind."""

    checkpoints: list[str] = field(default_factory=list)
    uploads: list[str] = field(default_factory=list)
    partial: list[Path] = field(default_factory=list)
    rows: dict[str, int] = field(default_factory=dict)


def collect(settings: Settings, delete: bool) -> Garbage:
    """Return what nothing needs; delete it where asked."""
    engine = make_engine(settings.database_url, pool_size=1, name="saddle-gc", statement_s=600)
    try:
        found = _find(engine, settings)
        if delete:
            _delete(engine, settings, found)
    finally:
        engine.dispose()
    return found


def _find(engine: Engine, settings: Settings) -> Garbage:
    before = time.time() - AGE_S
    store, root = open_store(settings), settings.checkpoint_dir
    stored = list(store.keys())  # before asking for rows: an ended attempt adds none
    keys = [key for key in stored if not store.in_place or _is_older(root / key, before)]
    kept = [sha256 for sha256, at in open_uploads(settings).kept() if at < before]
    with transaction(engine) as connection:
        named = dump.named_uploads(connection)
        return Garbage(
            checkpoints.find_orphans(connection, keys),
            [sha256 for sha256 in kept if sha256 not in named],
            list(_partial(settings, before)),
            retention.count_old(connection, settings.audit_days),
        )


def _partial(settings: Settings, before: float) -> Iterator[Path]:
    """Yield uploads that never arrived."""
    incoming = settings.dataset_dir / ".incoming"
    for path in sorted(incoming.iterdir()) if incoming.is_dir() else ():
        if path.is_file() and _is_older(path, before):
            yield path


def _is_older(path: Path, before: float) -> bool:
    """Whether nothing in a file or folder was written since; what vanishes meanwhile is no garbage."""
    with contextlib.suppress(FileNotFoundError):
        return max(each.stat().st_mtime for each in (path, *path.rglob("*"))) < before
    return False


def _delete(engine: Engine, settings: Settings, found: Garbage) -> None:
    store, uploads = open_store(settings), open_uploads(settings)
    for key in found.checkpoints:
        store.remove(key)
    for sha256 in list(found.uploads):
        with transaction(engine) as connection:
            if datasets.is_unreferenced(connection, sha256):  # locks the hash, so no upload of it arrives meanwhile
                uploads.remove(sha256)
            else:
                found.uploads.remove(sha256)
    for path in found.partial:
        path.unlink(missing_ok=True)
    with transaction(engine) as connection:
        found.rows = retention.delete_old(connection, settings.audit_days)
