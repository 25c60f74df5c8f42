"""Copy a data folder's uploads and checkpoints to the bucket of the settings: `python -m service.storage FOLDER`.

Rows need no change: they name an upload by its hash, and of a checkpoint's place only the end is read.
"""

import sys
from pathlib import Path

from service.settings import settings
from service.storage.factory import open_store, open_uploads
from service.storage.files import FILES, sha256_of_folder
from service.storage.folder import FolderStore
from service.storage.store import Store
from service.storage.uploads import UploadStore


def copy_uploads(folder: Path, uploads: UploadStore) -> int:
    """Send every kept file; return how many."""
    contents = sorted(folder.glob("datasets/*/content"))
    for content in contents:
        uploads.send(content, content.parent.name)
    return len(contents)


def copy_checkpoints(folder: Path, store: Store) -> int:
    """Send every finished checkpoint; return how many."""
    here = FolderStore(folder / "checkpoints")
    paths = map(here.root.joinpath, here.keys())
    whole = [path for path in paths if all((path / name).is_file() for name in FILES)]
    for path in whole:
        store.keep(path, sha256_of_folder(path))
    return len(whole)


if __name__ == "__main__":
    if len(sys.argv) != 2 or not Path(sys.argv[1]).is_dir():
        sys.exit(__doc__)
    source, kept, sent = Path(sys.argv[1]), open_store(settings()), open_uploads(settings())
    if kept.in_place or sent.in_place:
        sys.exit("saddle: SADDLE_STORAGE_URL names no bucket")
    uploaded, saved = copy_uploads(source, sent), copy_checkpoints(source, kept)
    print(f"{uploaded} uploads and {saved} checkpoints are in {settings().storage_url}; the folder is as it was")
