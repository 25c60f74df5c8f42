"""A backup while runs train: first the tables in one snapshot, then the files that the rows of the snapshot name.

Uploads and checkpoints never change, so a file that is there with its hash is not copied again, and a checkpoint that
its run has replaced meanwhile is told, not an error: the run then resumes from the one before.
"""

import shutil
from collections.abc import Callable
from datetime import UTC
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from service.admin.manifest import (
    FORMAT,
    KeptCheckpoint,
    Manifest,
    checkpoint_path,
    holds_checkpoint,
    holds_upload,
    upload_path,
)
from service.db.admin import dump
from service.db.admin.dump import NamedCheckpoint
from service.db.session import Engine, make_engine, snapshot
from service.settings import Settings
from service.storage.factory import open_store, open_uploads
from service.storage.files import FILES, key_of, sync_to_disk
from service.storage.store import Store
from service.storage.uploads import UploadStore

Say = Callable[[str], None]


def back_up(folder: Path, settings: Settings, say: Say) -> tuple[Path, Manifest]:
    """Add a backup to a folder; return its own folder and what it holds."""
    engine = make_engine(settings.database_url, pool_size=1, name="saddle-backup", statement_s=0)
    try:
        with snapshot(engine) as connection:
            migration, server, made_at = dump.versions(connection)
            backup = folder / f"{made_at.astimezone(UTC):%Y-%m-%dT%H-%M-%S.%fZ}"
            (backup / "tables").mkdir(parents=True)
            tables = dump.dump_tables(connection, backup / "tables")
            uploads, checkpoints = dump.named_uploads(connection), dump.named_checkpoints(connection)
        rows, size = sum(each.rows for each in tables.values()), sum(each.bytes for each in tables.values())
        say(f"{len(tables)} tables, {rows} rows, {size} bytes")
        missing: dict[str, str] = {}
        kept = _keep_checkpoints(checkpoints, open_store(settings), folder, missing)
        sent = _keep_uploads(uploads, open_uploads(settings), folder, missing)
        lost = _still_named(engine, missing)
    finally:
        engine.dispose()
    say(f"{len(kept)} checkpoints, {len(sent)} uploads; {len(missing) - len(lost)} were replaced or deleted meanwhile")
    for name in lost:
        say(f"saddle: {name} is not in the backup: {missing[name]}")
    made = Manifest(FORMAT, made_at.isoformat(), release(), migration, server, tables, sent, kept, list(missing), lost)
    made.write(backup)
    return backup, made


def _still_named(engine: Engine, missing: dict[str, str]) -> list[str]:
    """Return those of the missing files that rows still name, so that they are lost and not only deleted meanwhile."""
    if not missing:
        return []
    with snapshot(engine) as connection:
        named = {key_of(each.folder) for each in dump.named_checkpoints(connection)}
        return [name for name in missing if name in named | set(dump.named_uploads(connection))]


def release() -> str:
    """Return the version of this program."""
    try:
        return version("saddle")
    except PackageNotFoundError:
        return "unknown"  # copied, not installed, as in an image


def _keep_checkpoints(
    named: list[NamedCheckpoint], store: Store, folder: Path, missing: dict[str, str]
) -> list[KeptCheckpoint]:
    found = []
    for each in named:
        key = key_of(each.folder) or each.folder
        target = checkpoint_path(folder, key)
        if not holds_checkpoint(target, each.sha256):
            try:
                _copy_checkpoint(store, each, target)
            except OSError as error:
                missing[key] = str(error)
                continue
        found.append(KeptCheckpoint(key, each.sha256, each.size_bytes))
    return found


def _copy_checkpoint(store: Store, named: NamedCheckpoint, target: Path) -> None:
    """Copy both files, and give the folder its name only once it has the hash that the row says."""
    partial = target.with_name(f".{target.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        for name in FILES:
            with (partial / name).open("xb") as file:
                for piece in store.pieces(named.folder, name):
                    file.write(piece)
            sync_to_disk(partial / name)
        if not holds_checkpoint(partial, named.sha256):
            raise OSError("its sha256 is not the one in its row: it is damaged")
        shutil.rmtree(target, ignore_errors=True)
        partial.rename(target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _keep_uploads(named: dict[str, int], uploads: UploadStore, folder: Path, missing: dict[str, str]) -> dict[str, int]:
    found = {}
    upload_path(folder, "").mkdir(parents=True, exist_ok=True)
    for sha256, size in named.items():
        target = upload_path(folder, sha256)
        if not holds_upload(target, sha256):
            try:
                _copy_upload(uploads, sha256, target)
            except OSError as error:
                missing[sha256] = str(error)
                continue
        found[sha256] = size
    return found


def _copy_upload(uploads: UploadStore, sha256: str, target: Path) -> None:
    partial = target.with_name(f".{sha256}.partial")
    try:
        with uploads.opened(sha256) as content:
            shutil.copyfile(content, partial)
        sync_to_disk(partial)
        if not holds_upload(partial, sha256):
            raise OSError("its sha256 is not the one in its row: it is damaged")
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
