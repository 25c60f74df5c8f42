"""Copies of uploaded files on this machine's disk: fetched once, verified, and the least recently used removed first.

<sha256>/content    whole and of this hash; rows that a trainer unpacked lie beside it and leave with it
<sha256>/.lock      held while a copy is checked or fetched

A lock (flock) on the folder of a file is shared by those who use it and taken alone by the one who removes it, so the
processes of a machine need no other agreement, and a process that dies holds nothing.
"""

import contextlib
import fcntl
import hashlib
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from service.storage.uploads import DamagedFile, move_into_place, sha256_of_file

REMOVED = ".removed-"  # folders on their way out
Fetch = Callable[[], Iterable[bytes]]


class UploadCache:
    """A folder of copies that together take at most `max_bytes`, beside those in use."""

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self.folder, self._max_bytes = folder, max_bytes

    @contextmanager
    def opened(self, sha256: str, fetch: Fetch) -> Iterator[Path]:
        """Hold a verified copy; `fetch` yields its bytes if it is not here."""
        place = self.folder / sha256
        with _used(place):
            with _locked_file(place / ".lock"):
                content = place / "content"
                if not content.is_file() or sha256_of_file(content) != sha256:
                    self._write(place, sha256, fetch())
            os.utime(place)
            self.trim()
            yield content
        self.trim()

    def add(self, path: Path, sha256: str) -> None:
        """Take over a file that is known to have this hash."""
        place = self.folder / sha256
        with _used(place):
            move_into_place(path, place)
        self.trim()

    def discard(self, sha256: str) -> None:
        """Remove a copy unless it is in use."""
        _remove_unused(self.folder / sha256)

    def trim(self) -> None:
        """Remove the least recently used copies that are beyond the limit and not in use."""
        for leftover in self.folder.glob(f"{REMOVED}*"):
            shutil.rmtree(leftover, ignore_errors=True)
        places = [(_last_use(place), _size(place), place) for place in self.folder.iterdir()]
        total = sum(size for _, size, _ in places)
        for _, size, place in sorted(places):
            if total <= self._max_bytes:
                return
            if _remove_unused(place):
                total -= size

    def _write(self, place: Path, sha256: str, pieces: Iterable[bytes]) -> None:
        """Write a copy under another name, verify it, and move it into its place."""
        partial, found = place / ".partial", hashlib.sha256()
        try:
            with partial.open("wb") as file:
                for piece in pieces:
                    file.write(piece)
                    found.update(piece)
                file.flush()
                os.fsync(file.fileno())
            if found.hexdigest() != sha256:
                raise DamagedFile(f"what is stored as {sha256[:12]} is not what was uploaded: its sha256 differs")
            move_into_place(partial, place)
        finally:
            partial.unlink(missing_ok=True)


@contextmanager
def _used(place: Path) -> Iterator[None]:
    """Keep a copy's folder, made if it is missing, from being removed."""
    descriptor = None
    while descriptor is None:
        place.mkdir(parents=True, exist_ok=True)
        descriptor = _lock(place, fcntl.LOCK_SH)
    try:
        yield
    finally:
        os.close(descriptor)


def _lock(place: Path, how: int) -> int | None:
    """Lock a folder until the descriptor is closed; None if another process removed it meanwhile."""
    with contextlib.suppress(FileNotFoundError):
        descriptor = os.open(place, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, how)
            if os.path.samestat(os.fstat(descriptor), place.stat()):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
    return None


@contextmanager
def _locked_file(path: Path) -> Iterator[None]:
    with path.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _remove_unused(place: Path) -> bool:
    """Remove a copy's folder; False if it is in use or gone."""
    try:
        descriptor = _lock(place, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    if descriptor is None:
        return False
    leaving = place.with_name(f"{REMOVED}{uuid4().hex}")
    try:
        place.rename(leaving)  # so that nobody finds half of it
    finally:
        os.close(descriptor)
    shutil.rmtree(leaving, ignore_errors=True)
    return True


def _size(place: Path) -> int:
    """Return the bytes of everything below a folder; what vanishes meanwhile counts nothing."""
    total = 0
    for path in place.rglob("*"):
        with contextlib.suppress(FileNotFoundError):
            total += path.lstat().st_size
    return total


def _last_use(place: Path) -> float:
    with contextlib.suppress(FileNotFoundError):
        return place.stat().st_mtime
    return 0.0
