"""What is free on the disk of a folder."""

import shutil
from pathlib import Path


def free_bytes(folder: Path) -> int:
    """Return the bytes free where `folder` is, or will be: of its nearest parent that exists."""
    folder = folder.absolute()
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return shutil.disk_usage(folder).free


def reserve_problem(folder: Path, reserve: int) -> str | None:
    """Return why nothing large may be written for want of disk; None if more than `reserve` bytes are free."""
    free = free_bytes(folder)
    if free >= reserve:
        return None
    return (
        f"{free / 2**20:,.0f} MiB are free in {folder}, and {reserve / 2**20:,.0f} are the reserve:"
        " free some of the disk, or lower SADDLE_DISK_RESERVE_BYTES"
    )
