"""The interface of every kind of checkpoint storage."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path

from service.storage.files import sha256


class Store(ABC):
    """Stores checkpoints under locations that rows name; raises OSError, or FileNotFoundError if missing."""

    in_place: bool  # the trainer writes into the storage itself

    @abstractmethod
    def keep(self, folder: Path, sha256: str) -> str:
        """Store a finished checkpoint from this machine's disk, verify it, and return its location."""

    @abstractmethod
    def fetch(self, location: str, into: Path) -> Path:
        """Return the checkpoint as a folder on this machine's disk, copied into `into` if necessary."""

    @abstractmethod
    def size(self, location: str, name: str) -> int:
        """Return the size of one file in bytes."""

    @abstractmethod
    def pieces(self, location: str, name: str) -> Iterator[bytes]:
        """Yield the bytes of one file."""

    @abstractmethod
    def remove(self, location: str) -> None:
        """Remove a checkpoint; a missing one is no error."""

    @abstractmethod
    def keys(self, run_id: str | None = None) -> Iterator[str]:
        """Yield <run>/<attempt>/<folder> of everything stored, of one run or of all; half-written folders included."""

    def sha256(self, location: str) -> str:
        """Return the hash of what is stored now."""
        return sha256(lambda name: self.size(location, name), lambda name: self.pieces(location, name))
