"""What every kind of storage can do, and which kind a URL names.

    file:///path          a folder that every worker and the API share; the trainer writes there itself
    s3://bucket/prefix    a bucket; endpoint, region and credentials by the usual AWS_ variables
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from service.settings import Settings
from service.storage.files import sha256


class Store(ABC):
    """Keeps checkpoints by location, which rows name. OSError: it does not answer; FileNotFoundError: not there."""

    in_place: bool  # what the trainer wrote is where it stays

    @abstractmethod
    def keep(self, folder: Path, sha256: str) -> str:
        """Store a finished checkpoint of this machine's disk and look that it arrived; its location."""

    @abstractmethod
    def fetch(self, location: str, into: Path) -> Path:
        """The checkpoint as a folder on this machine's disk, new inside `into` unless it is there already."""

    @abstractmethod
    def size(self, location: str, name: str) -> int:
        """Bytes of one file."""

    @abstractmethod
    def pieces(self, location: str, name: str) -> Iterator[bytes]:
        """One file's bytes."""

    @abstractmethod
    def remove(self, location: str) -> None:
        """Forget a checkpoint; what is not there is no error."""

    @abstractmethod
    def keys(self, run_id: str | None = None) -> Iterator[str]:
        """<run>/<attempt>/<folder> of everything stored, half-written folders too; of one run where it is given."""

    def sha256(self, location: str) -> str:
        """The hash of what is stored now."""
        return sha256(lambda name: self.size(location, name), lambda name: self.pieces(location, name))


def store_of(settings: Settings) -> Store:
    """The storage of these settings."""
    return _store(settings.checkpoint_url, settings.checkpoint_dir)


@lru_cache(maxsize=8)
def _store(url: str | None, folder: Path) -> Store:
    if url is not None and url.startswith("s3:"):
        from service.storage.bucket import Bucket  # noqa: PLC0415  who uses a folder never loads its library

        return Bucket(url)
    from service.storage.folder import Folder  # noqa: PLC0415  beside the other

    return Folder(folder)
