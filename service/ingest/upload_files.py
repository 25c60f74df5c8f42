"""Uploaded files on disk: written under a temporary name, then moved to the folder that their hash names.

datasets/.incoming/<random>    arriving
datasets/<sha256>/content      complete and synced to disk; never changed, shared by all datasets with this content
"""

import contextlib
import hashlib
import os
from pathlib import Path
from uuid import uuid4

from service.storage.files import sync_to_disk


class IncomingUpload:
    """An arriving file: hashed while it is written, deleted unless it is kept."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.size_bytes, self._hash = folder, 0, hashlib.sha256()
        (folder / ".incoming").mkdir(parents=True, exist_ok=True)
        self.path = folder / ".incoming" / uuid4().hex
        self._file = self.path.open("xb")

    def write(self, piece: bytes) -> None:
        """Write the next bytes."""
        self._file.write(piece)
        self._hash.update(piece)
        self.size_bytes += len(piece)

    def close(self) -> None:
        """Sync the file to disk and close it."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()

    @property
    def sha256(self) -> str:
        """Hash of what has been written."""
        return self._hash.hexdigest()

    def keep(self) -> Path:
        """Move the file to its place, where a reader finds all of it or nothing."""
        place = self.folder / self.sha256
        place.mkdir(exist_ok=True)
        self.path.replace(place / "content")
        for folder in (place, self.folder):
            sync_to_disk(folder)
        return place / "content"

    def discard(self) -> None:
        """Close the file, and delete it unless it was kept."""
        self._file.close()
        self.path.unlink(missing_ok=True)


def delete_upload(folder: Path, sha256: str) -> None:
    """Delete a kept file; the caller makes sure that nobody keeps the same one meanwhile."""
    place = folder / sha256
    (place / "content").unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # gone, or a reader unpacked rows there
        place.rmdir()
