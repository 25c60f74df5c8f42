"""What a backup holds, and whether it is whole.

FOLDER/files/uploads/<sha256>                            shared by all backups of the folder
FOLDER/files/checkpoints/<run>/a<attempt>-<lease>/step-<n>/
FOLDER/<time>/tables/<table>                             binary COPY, one snapshot
FOLDER/<time>/manifest.json, manifest.sha256             written last: a folder without them is no backup
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from service.db.admin.dump import TableCopy
from service.errors import SaddleError
from service.storage.files import sha256_of_folder
from service.storage.uploads import sha256_of_file

FORMAT = 1
MANIFEST, DIGEST = "manifest.json", "manifest.sha256"


class DamagedBackup(SaddleError):
    """A backup that is not what its manifest says, or none at all."""


@dataclass(frozen=True)
class KeptCheckpoint:
    """A checkpoint in the backup, by <run>/<attempt>/<folder>."""

    key: str
    sha256: str
    size_bytes: int


@dataclass(frozen=True)
class Manifest:
    """Versions, counts and hashes of one backup."""

    format: int
    made_at: str  # RFC 3339
    release: str
    migration: str
    postgres: str
    tables: dict[str, TableCopy]
    uploads: dict[str, int]  # sha256 -> bytes
    checkpoints: list[KeptCheckpoint]
    missing: list[str]  # what rows of the snapshot name and was not there, or not whole, when it was copied
    lost: list[str]  # of these, what rows still named then: damage, not a checkpoint that its run had replaced

    @property
    def time(self) -> datetime:
        """When the snapshot was taken, by Postgres's clock."""
        return datetime.fromisoformat(self.made_at)

    def write(self, folder: Path) -> None:
        """Write the manifest and its hash."""
        text = json.dumps(asdict(self), indent=1)
        (folder / DIGEST).write_text(hashlib.sha256(text.encode()).hexdigest() + "\n")
        new = folder / f"{MANIFEST}.new"
        new.write_text(text)
        new.replace(folder / MANIFEST)


def find_backup(folder: Path) -> Path:
    """Return the folder of a backup: itself, or the newest one in it."""
    if (folder / MANIFEST).is_file():
        return folder
    found = sorted(path.parent for path in folder.glob(f"*/{MANIFEST}"))
    if not found:
        raise DamagedBackup(f"{folder} holds no backup: no {MANIFEST} is in it or in a folder of it.")
    return found[-1]


def read_manifest(backup: Path) -> Manifest:
    """Return the manifest; raise `DamagedBackup` if it was changed."""
    text = (backup / MANIFEST).read_bytes()
    digest = (backup / DIGEST).read_text().strip() if (backup / DIGEST).is_file() else ""
    if hashlib.sha256(text).hexdigest() != digest:
        raise DamagedBackup(f"{backup / MANIFEST} is not what was written: its sha256 differs.")
    given = json.loads(text)
    if given["format"] != FORMAT:
        raise DamagedBackup(f"{backup} has the format {given['format']}, this release reads {FORMAT}.")
    given["tables"] = {name: TableCopy(**each) for name, each in given["tables"].items()}
    given["checkpoints"] = [KeptCheckpoint(**each) for each in given["checkpoints"]]
    return Manifest(**given)


def check(backup: Path, manifest: Manifest) -> None:
    """Read everything once; raise `DamagedBackup` naming what is missing or changed."""
    if wrong := list(_differences(backup, manifest)):
        listed = "\n".join(f"  {each}" for each in wrong[:20])
        raise DamagedBackup(
            f"{len(wrong)} files of {backup} are missing or changed, so nothing was restored:\n{listed}"
        )


def _differences(backup: Path, manifest: Manifest) -> Iterator[str]:
    for name, copy in manifest.tables.items():
        if not _is(backup / "tables" / name, copy.sha256):
            yield f"tables/{name}"
    for sha256 in manifest.uploads:
        if not _is(upload_path(backup.parent, sha256), sha256):
            yield f"uploads/{sha256}"
    for kept in manifest.checkpoints:
        if not holds_checkpoint(checkpoint_path(backup.parent, kept.key), kept.sha256):
            yield f"checkpoints/{kept.key}"


def _is(path: Path, sha256: str) -> bool:
    return path.is_file() and sha256_of_file(path) == sha256


def holds_checkpoint(path: Path, sha256: str) -> bool:
    """Whether a folder is the checkpoint of this hash."""
    try:
        return sha256_of_folder(path) == sha256
    except OSError:
        return False


def holds_upload(path: Path, sha256: str) -> bool:
    """Whether a file has this hash."""
    return _is(path, sha256)


def upload_path(folder: Path, sha256: str) -> Path:
    """Return where the backups in a folder keep an upload."""
    return folder / "files" / "uploads" / sha256


def checkpoint_path(folder: Path, key: str) -> Path:
    """Return where the backups in a folder keep a checkpoint."""
    return folder / "files" / "checkpoints" / key
