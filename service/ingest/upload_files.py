"""Uploaded files while they arrive: written under a temporary name, beside the place that a complete one moves to."""

import hashlib
import os
from pathlib import Path
from uuid import uuid4

from service.storage.uploads import UploadStore

INCOMING = ".incoming"


class IncomingUpload:
    """An arriving file: hashed while it is written, deleted unless a store takes it over."""

    def __init__(self, folder: Path, owner: str = "", declared_bytes: int = 0) -> None:
        self.folder, self.size_bytes, self.declared_bytes, self._hash = folder, 0, declared_bytes, hashlib.sha256()
        (folder / INCOMING).mkdir(parents=True, exist_ok=True)
        self.path = folder / INCOMING / f"{owner}{uuid4().hex}"
        self._file = self.path.open("xb")
        self._file.truncate(declared_bytes)  # takes no disk yet, and lets others see how large it will be

    def write(self, piece: bytes) -> None:
        """Write the next bytes."""
        self._file.write(piece)
        self._hash.update(piece)
        self.size_bytes += len(piece)

    def close(self) -> None:
        """Sync the file to disk and close it."""
        self._file.flush()
        self._file.truncate(self.size_bytes)
        os.fsync(self._file.fileno())
        self._file.close()

    @property
    def sha256(self) -> str:
        """Hash of what has been written."""
        return self._hash.hexdigest()

    def keep(self, store: UploadStore) -> None:
        """Have the store take the file over."""
        store.keep(self.path, self.sha256)

    def discard(self) -> None:
        """Close the file, and delete it unless a store took it over."""
        self._file.close()
        self.path.unlink(missing_ok=True)
