"""Which kind of storage a URL names.

file:///path          a folder that every worker and the API share; the trainer writes there itself
s3://bucket/prefix    a bucket; endpoint, region and credentials by the usual AWS_ variables
"""

from functools import lru_cache
from pathlib import Path

from service.settings import Settings
from service.storage.folder import Folder
from service.storage.store import Store


def store_of(settings: Settings) -> Store:
    """The storage of these settings."""
    return _store(settings.checkpoint_url, settings.checkpoint_dir)


@lru_cache(maxsize=8)
def _store(url: str | None, folder: Path) -> Store:
    if url is not None and url.startswith("s3:"):
        from service.storage.bucket import Bucket  # noqa: PLC0415  who uses a folder never loads its library

        return Bucket(url)
    return Folder(folder)
