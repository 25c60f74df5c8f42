"""Checkpoints in a folder that every worker and the API share; the trainer writes there itself."""

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

from service.storage.files import key_of, pieces_of
from service.storage.store import Store


class FolderStore(Store):
    """A shared folder; a location is the absolute path as its writer saw it."""

    in_place = True

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()

    def _path(self, location: str) -> Path:
        """Return the path below our own root, wherever the writer had mounted it."""
        key = key_of(location)
        if key is None:
            raise FileNotFoundError(f"{location} is not the location of a checkpoint")
        return self.root / key

    def keep(self, folder: Path, sha256: str) -> str:
        """Return the folder: it is in the storage already, and its hash is of what was written."""
        return str(folder)

    def fetch(self, location: str, into: Path) -> Path:
        """Return the folder itself."""
        path = Path(location)
        return path if path.is_dir() else self._path(location)

    def size(self, location: str, name: str) -> int:
        """Return the size of one file in bytes."""
        return (self._path(location) / name).stat().st_size

    def pieces(self, location: str, name: str) -> Iterator[bytes]:
        """Yield the bytes of one file."""
        yield from pieces_of(self._path(location) / name)

    def remove(self, location: str) -> None:
        """Remove the folder, and its parents if nothing else is in them."""
        parts = location.rstrip("/").split("/")[-3:]
        path = self.root.joinpath(*parts)
        if len(parts) < 3 or any(part in ("", ".", "..") for part in parts):
            return
        shutil.rmtree(path, ignore_errors=True)
        with contextlib.suppress(OSError):  # not empty, or gone
            path.parent.rmdir()
            path.parent.parent.rmdir()

    def keys(self, run_id: str | None = None) -> Iterator[str]:
        """Yield every folder three levels down."""
        for path in sorted(self.root.glob(f"{run_id or 'run_*'}/a*/*")):
            yield "/".join(path.parts[-3:])
