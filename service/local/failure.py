"""Why a local start is refused: always one sentence that says what to do."""

import errno
from pathlib import Path

from service.errors import SaddleError


class CannotStart(SaddleError):
    """The machine does not allow what was asked; the message is the sentence to print."""

    code, status, title = "cannot_start", 503, "Saddle cannot start here"


def cannot_use(folder: Path, error: OSError) -> CannotStart:
    """The sentence for a folder that the operating system refuses."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return disk_full(folder)
    if error.errno == errno.ENAMETOOLONG:
        return CannotStart(f"the path {folder} is too long for this system; choose a shorter one with --data")
    why = error.strerror or str(error)
    return CannotStart(f"the folder {folder} cannot be used ({why}); choose another one with --data")


def disk_full(folder: Path) -> CannotStart:
    """The sentence for a disk without room."""
    return CannotStart(f"no space left on the disk of {folder}; free some, or choose another one with --data")
