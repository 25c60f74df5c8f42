"""Checkpoints in a folder that every worker and the API share: what is written there is kept already."""

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

from service.storage.files import key_of, pieces_of
from service.storage.store import Store


class FolderStore(Store):
    """A folder; a location is the absolute path that the writer saw."""

    in_place = True

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()

    def _path(self, location: str) -> Path:
        """Below our root by its key, wherever the writer had it mounted."""
        key = key_of(location)
        if key is None:
            raise FileNotFoundError(f"{location} is no checkpoint's place")
        return self.root / key

    def keep(self, folder: Path, sha256: str) -> str:
        """It is where it belongs; its hash is of what was written."""
        return str(folder)

    def fetch(self, location: str, into: Path) -> Path:
        """The folder itself."""
        path = Path(location)
        return path if path.is_dir() else self._path(location)

    def size(self, location: str, name: str) -> int:
        """Bytes of one file."""
        return (self._path(location) / name).stat().st_size

    def pieces(self, location: str, name: str) -> Iterator[bytes]:
        """One file's bytes."""
        yield from pieces_of(self._path(location) / name)

    def remove(self, location: str) -> None:
        """The folder, and those above it that nothing else is in."""
        parts = location.rstrip("/").split("/")[-3:]
        path = self.root.joinpath(*parts)
        if len(parts) < 3 or any(part in ("", ".", "..") for part in parts):
            return
        shutil.rmtree(path, ignore_errors=True)
        with contextlib.suppress(OSError):  # not empty, or gone
            path.parent.rmdir()
            path.parent.parent.rmdir()

    def keys(self, run_id: str | None = None) -> Iterator[str]:
        """Every folder three levels down."""
        for path in sorted(self.root.glob(f"{run_id or 'run_*'}/a*/*")):
            yield "/".join(path.parts[-3:])
