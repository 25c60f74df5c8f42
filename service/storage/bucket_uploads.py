"""Uploaded files in an S3-compatible bucket, with copies on this machine's disk where they are read."""

import hashlib
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import obstore

from service.storage.bucket import open_bucket, os_errors
from service.storage.files import PIECE
from service.storage.upload_cache import UploadCache
from service.storage.uploads import DamagedFile, UploadStore


class BucketUploads(UploadStore):
    """The objects <prefix>/uploads/<sha256> of a bucket."""

    in_place = False

    def __init__(self, url: str, folder: Path, cache_bytes: int) -> None:
        self.folder = folder.resolve()
        self._cache = UploadCache(self.folder, cache_bytes)
        self._bucket = open_bucket(url)

    def send(self, path: Path, sha256: str) -> None:
        """Upload the file and read it back: servers differ in which checksums they verify."""
        with os_errors():
            obstore.put(self._bucket, _key(sha256), path)
        found = hashlib.sha256()
        for piece in self._pieces(sha256):
            found.update(piece)
        if found.hexdigest() != sha256:
            raise DamagedFile(f"what the bucket holds of {sha256[:12]} is not what was sent: its sha256 differs")

    def keep(self, path: Path, sha256: str) -> None:
        """Send the file again if it was removed since; the API reads the arrived file as its copy."""
        try:
            with os_errors():
                obstore.head(self._bucket, _key(sha256))
        except FileNotFoundError:
            self.send(path, sha256)
        self._cache.add(path, sha256)

    def opened(self, sha256: str) -> AbstractContextManager[Path]:
        """Hold a verified copy of the file."""
        return self._cache.opened(sha256, lambda: self._pieces(sha256))

    def remove(self, sha256: str) -> None:
        """Remove the object and this machine's copy; a bucket does not report a missing one."""
        with os_errors():
            obstore.delete(self._bucket, [_key(sha256)])
        self._cache.discard(sha256)

    def kept(self) -> Iterator[tuple[str, float]]:
        """Yield every object below uploads/."""
        with os_errors():
            for page in obstore.list(self._bucket, "uploads"):
                for each in page:
                    yield str(each["path"]).rpartition("/")[2], each["last_modified"].timestamp()

    def _pieces(self, sha256: str) -> Iterator[bytes]:
        with os_errors():
            for piece in obstore.get(self._bucket, _key(sha256)).stream(min_chunk_size=PIECE):
                yield bytes(piece)


def _key(sha256: str) -> str:
    return f"uploads/{sha256}"
