"""What is free on the disk of a folder."""

import shutil
from pathlib import Path


def free_bytes(folder: Path) -> int:
    """Return the bytes free where `folder` is, or will be: of its nearest parent that exists."""
    folder = folder.absolute()
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return shutil.disk_usage(folder).free
