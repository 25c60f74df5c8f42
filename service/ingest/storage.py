"""Keeping uploaded files: written under a temporary name, then moved to the folder that their hash names.

datasets/.incoming/<random>    on its way; in no folder that is served
datasets/<sha256>/content      complete and on the disk; never changed, the same file for everyone who has it
"""

import contextlib
import hashlib
import os
from pathlib import Path
from uuid import uuid4


class Incoming:
    """A file on its way in: hashed while it is written, gone unless it is kept."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.size_bytes, self._hash = folder, 0, hashlib.sha256()
        (folder / ".incoming").mkdir(parents=True, exist_ok=True)
        self.path = folder / ".incoming" / uuid4().hex
        self._file = self.path.open("xb")

    def write(self, piece: bytes) -> None:
        """The next bytes."""
        self._file.write(piece)
        self._hash.update(piece)
        self.size_bytes += len(piece)

    def close(self) -> None:
        """No more bytes come: have the disk hold them."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()

    @property
    def sha256(self) -> str:
        """Of what was written so far."""
        return self._hash.hexdigest()

    def keep(self) -> Path:
        """Move it to its place; whoever has the hash finds all of it or nothing."""
        place = self.folder / self.sha256
        place.mkdir(exist_ok=True)
        self.path.replace(place / "content")
        for folder in (place, self.folder):
            _sync(folder)
        return place / "content"

    def discard(self) -> None:
        """Close it, and remove what was not kept."""
        self._file.close()
        self.path.unlink(missing_ok=True)


def remove(folder: Path, sha256: str) -> None:
    """Remove a kept file; the caller holds that nobody keeps the same one meanwhile."""
    place = folder / sha256
    (place / "content").unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # gone, or a reader has made something there
        place.rmdir()


def _sync(folder: Path) -> None:
    """Have the disk hold the names in a folder."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
