"""Checkpoints in an S3-compatible bucket, through obstore; each upload is read back and verified."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import obstore
from obstore.exceptions import BaseError
from obstore.store import S3Store

from service.storage.files import FILES, PIECE, PREDICTIONS, key_of
from service.storage.store import Store

RETRIES: Any = {"max_retries": 5, "retry_timeout": timedelta(seconds=60)}  # of one request


class BucketStore(Store):
    """A prefix of a bucket; a location is s3://bucket/prefix/<key>."""

    in_place = False

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self._store = open_bucket(self.url)

    def keep(self, folder: Path, sha256: str) -> str:
        """Upload the files and read the checkpoint back: servers differ in which checksums they verify."""
        key = key_of(str(folder))
        assert key is not None, folder
        with os_errors():
            for name in FILES:
                obstore.put(self._store, f"{key}/{name}", folder / name)
            if (folder / PREDICTIONS).exists():
                obstore.put(self._store, f"{key}/{PREDICTIONS}", folder / PREDICTIONS)
        location = f"{self.url}/{key}"
        if self.sha256(location) != sha256:
            raise OSError(f"what the bucket holds of {key} is not what was sent: its sha256 differs")
        return location

    def fetch(self, location: str, into: Path) -> Path:
        """Return a copy, which is whole or does not exist."""
        key = self._key(location)
        final, partial = into / key, into / f"{key}.partial"
        if final.is_dir():
            return final
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        for name in FILES:
            with (partial / name).open("xb") as file:
                for piece in self.pieces(location, name):
                    file.write(piece)
        return partial.rename(final)

    def _key(self, location: str) -> str:
        key = key_of(location)
        if key is None:
            raise FileNotFoundError(f"{location} is not the location of a checkpoint")
        return key

    def size(self, location: str, name: str) -> int:
        """Return the size of one file in bytes."""
        with os_errors():
            return obstore.head(self._store, f"{self._key(location)}/{name}")["size"]

    def pieces(self, location: str, name: str) -> Iterator[bytes]:
        """Yield the bytes of one file."""
        with os_errors():
            for piece in obstore.get(self._store, f"{self._key(location)}/{name}").stream(min_chunk_size=PIECE):
                yield bytes(piece)

    def remove(self, location: str) -> None:
        """Remove the files; a bucket does not report missing ones."""
        with os_errors():
            obstore.delete(self._store, [f"{self._key(location)}/{name}" for name in (*FILES, PREDICTIONS)])

    def keys(self, run_id: str | None = None) -> Iterator[str]:
        """Yield the folders of all files of runs; uploads lie beside them."""
        found = set()
        with os_errors():
            for page in obstore.list(self._store, run_id):
                found |= {str(each["path"]).rpartition("/")[0] for each in page}
        yield from sorted(folder for folder in found if folder.startswith("run_"))


def open_bucket(url: str) -> S3Store:
    """Return the prefix of a bucket at s3://bucket/prefix."""
    plain = os.environ.get("AWS_ENDPOINT_URL", "").startswith("http://")
    options: Any = {"allow_http": plain, "connect_timeout": "5s", "timeout": "600s"}
    return S3Store.from_url(url.rstrip("/"), client_options=options, retry_config=RETRIES)


@contextmanager
def os_errors() -> Iterator[None]:
    """Turn the library's errors into an OSError of one line; a missing file stays a FileNotFoundError."""
    try:
        yield
    except FileNotFoundError as error:
        raise FileNotFoundError(str(error).splitlines()[0]) from None
    except BaseError as error:
        raise OSError(str(error).splitlines()[0]) from error
