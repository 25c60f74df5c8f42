"""Uploaded files, each named by its sha256: the interface of their storage, and the folder that all machines share.

datasets/.incoming/<random>    arriving, on the API's machine
datasets/<sha256>/content      complete and synced to disk; never changed, shared by all datasets with this content
"""

import contextlib
import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from service.storage.files import sync_to_disk


class DamagedFile(OSError):
    """What is stored under a hash has another one."""


class UploadStore(ABC):
    """Stores uploaded files; raises OSError, or FileNotFoundError if one is missing.

    Rows name files, so `keep` and `remove` are called under a lock on the hash, and `send` before it.
    """

    in_place: bool  # `opened` takes no time
    folder: Path  # on this machine; holds <sha256>/content of everything opened

    @abstractmethod
    def send(self, path: Path, sha256: str) -> None:
        """Do what takes long in keeping the file at `path`."""

    @abstractmethod
    def keep(self, path: Path, sha256: str) -> None:
        """Take over the file at `path`, which was sent; a reader finds all of it or nothing."""

    @abstractmethod
    def opened(self, sha256: str) -> AbstractContextManager[Path]:
        """Hold the file on this machine's disk, copied there if necessary, as long as the context is open."""

    @abstractmethod
    def remove(self, sha256: str) -> None:
        """Remove a file; a missing one is no error."""

    @abstractmethod
    def kept(self) -> Iterator[tuple[str, float]]:
        """Yield the hash of every file, and when it was stored (seconds since 1970, by the storage's clock)."""


class FolderUploads(UploadStore):
    """A folder that the API and every worker share."""

    in_place = True

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()

    def send(self, path: Path, sha256: str) -> None:
        """Do nothing: the file arrived on the disk of this folder."""

    def keep(self, path: Path, sha256: str) -> None:
        """Move the file to its place."""
        move_into_place(path, self.folder / sha256)

    @contextmanager
    def opened(self, sha256: str) -> Iterator[Path]:
        """Return the file itself."""
        yield self.folder / sha256 / "content"

    def remove(self, sha256: str) -> None:
        """Remove the file, and its folder unless a worker unpacked rows there."""
        place = self.folder / sha256
        (place / "content").unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            place.rmdir()

    def kept(self) -> Iterator[tuple[str, float]]:
        """Yield every folder with a file."""
        for content in sorted(self.folder.glob("[0-9a-f]*/content")):
            with contextlib.suppress(FileNotFoundError):  # removed meanwhile
                yield content.parent.name, content.stat().st_mtime


def move_into_place(path: Path, place: Path) -> None:
    """Move a file that is synced to disk to `place`/content."""
    place.mkdir(exist_ok=True)
    path.replace(place / "content")
    for folder in (place, place.parent):
        sync_to_disk(folder)


def sha256_of_file(path: Path) -> str:
    """Return the hash of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
