"""Errors of a local start, each one sentence that says what to do."""

import errno
from pathlib import Path

from service.errors import SaddleError


class CannotStart(SaddleError):
    """Saddle cannot start on this machine; the message is printed as it is."""

    code, status, title = "cannot_start", 503, "Saddle cannot start here"


def folder_error(folder: Path, error: OSError) -> CannotStart:
    """Return the error for a folder that the operating system refuses."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return disk_full_error(folder)
    if error.errno == errno.ENAMETOOLONG:
        return CannotStart(f"the path {folder} is too long for this system; choose a shorter one with --data")
    why = error.strerror or str(error)
    return CannotStart(f"the folder {folder} cannot be used ({why}); choose another one with --data")


def disk_full_error(folder: Path) -> CannotStart:
    """Return the error for a full disk."""
    return CannotStart(f"no space left on the disk of {folder}; free some, or choose another one with --data")
