"""A restore into an empty database and empty storage: everything is checked first, then files, then rows."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from service.admin.manifest import Manifest, check, checkpoint_path, find_backup, read_manifest, upload_path
from service.db.admin import load
from service.db.session import make_engine, transaction
from service.errors import Conflict
from service.settings import Settings
from service.storage.factory import open_store, open_uploads
from service.storage.files import FILES, sync_to_disk

Say = Callable[[str], None]


@dataclass(frozen=True)
class Restored:
    """What was restored, and how many runs trained when the backup was made."""

    backup: Path
    manifest: Manifest
    requeued: int


def restore(folder: Path, settings: Settings, say: Say) -> Restored:
    """Restore the newest backup in a folder, or the one that the folder is."""
    backup = find_backup(folder)
    manifest = read_manifest(backup)
    say(f"checking {backup}: {len(manifest.tables)} tables, {len(manifest.checkpoints)} checkpoints")
    check(backup, manifest)
    engine = make_engine(settings.database_url, pool_size=1, name="saddle-restore", statement_s=0)
    try:
        load.check_empty(engine)
        _check_no_files(settings)
        load.make_schema(engine, settings.database_url, manifest.migration)
        _place_uploads(backup.parent, manifest, settings)
        root = _place_checkpoints(backup.parent, manifest, settings)
        say("files are in place; loading the tables")
        with transaction(engine) as connection:
            load.load(connection, backup / "tables", manifest.tables)
            load.detach(connection, root, manifest.missing)
        requeued = load.finish(engine, settings, manifest.time)
    finally:
        engine.dispose()
    return Restored(backup, manifest, requeued)


def _check_no_files(settings: Settings) -> None:
    """Raise `Conflict` if the storage holds checkpoints or uploads."""
    if key := next(open_store(settings).keys(), None):
        raise Conflict(f"The storage of checkpoints is not empty ({key}): restore into a new one.")
    uploads = open_uploads(settings)
    if uploads.in_place and any(uploads.folder.glob("[0-9a-f]*/content")):
        raise Conflict(f"{uploads.folder} is not empty: restore into a new folder.")


def _place_uploads(folder: Path, manifest: Manifest, settings: Settings) -> None:
    uploads, incoming = open_uploads(settings), settings.dataset_dir / ".incoming"
    incoming.mkdir(parents=True, exist_ok=True)
    for sha256 in manifest.uploads:
        arriving = incoming / uuid4().hex
        shutil.copyfile(upload_path(folder, sha256), arriving)
        sync_to_disk(arriving)
        uploads.send(arriving, sha256)
        uploads.keep(arriving, sha256)


def _place_checkpoints(folder: Path, manifest: Manifest, settings: Settings) -> str:
    """Store every checkpoint; return what all their locations begin with."""
    store = open_store(settings)
    for kept in manifest.checkpoints:
        path = checkpoint_path(folder, kept.key)
        if store.in_place:
            target = settings.checkpoint_dir.resolve() / kept.key
            target.mkdir(parents=True)
            for name in FILES:
                shutil.copyfile(path / name, target / name)
                sync_to_disk(target / name)
            path = target
        store.keep(path, kept.sha256)
    if store.in_place:
        return str(settings.checkpoint_dir.resolve())
    return str(settings.checkpoint_url or settings.storage_url).rstrip("/")
