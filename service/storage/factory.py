"""The storage of checkpoints and of uploads that the settings name.

file:///path          a folder that every worker and the API share; the trainer writes there itself
s3://bucket/prefix    a bucket; endpoint, region and credentials come from the usual AWS_ variables
"""

from functools import lru_cache
from pathlib import Path

from service.settings import Settings
from service.storage.folder import FolderStore
from service.storage.store import Store
from service.storage.uploads import FolderUploads, UploadStore


def open_store(settings: Settings) -> Store:
    """Return the storage of checkpoints, the same object each time."""
    return _open(settings.checkpoint_url or settings.storage_url, settings.checkpoint_dir)


def open_uploads(settings: Settings) -> UploadStore:
    """Return the storage of uploaded files, the same object each time."""
    return _open_uploads(settings.storage_url, settings.dataset_dir, settings.upload_cache_bytes)


@lru_cache(maxsize=8)
def _open(url: str | None, folder: Path) -> Store:
    if url is not None and url.startswith("s3:"):
        from service.storage.bucket import BucketStore  # noqa: PLC0415  its library is loaded only for a bucket

        return BucketStore(url)
    return FolderStore(folder)


@lru_cache(maxsize=8)
def _open_uploads(url: str | None, folder: Path, cache_bytes: int) -> UploadStore:
    if url is not None and url.startswith("s3:"):
        from service.storage.bucket_uploads import BucketUploads  # noqa: PLC0415  as above

        return BucketUploads(url, folder / ".cache", cache_bytes)
    return FolderUploads(folder)
