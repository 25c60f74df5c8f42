"""What every kind of storage can do with checkpoints."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path

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
