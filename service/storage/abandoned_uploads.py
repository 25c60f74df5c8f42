"""Uploads that never arrived whole: what a process that died left of them."""

import contextlib
from pathlib import Path

AGE_S = 86_400.0  # after which one counts as abandoned


def remove_abandoned_uploads(incoming: Path) -> None:
    """Remove incomplete uploads older than a day, by the clock of their disk."""
    if not incoming.is_dir():
        return
    with contextlib.suppress(OSError):  # another process cleans up too, or the folder is read-only
        mark = incoming / ".now"
        mark.touch()
        now = mark.stat().st_mtime
        for path in incoming.iterdir():
            if now - path.stat().st_mtime > AGE_S:
                path.unlink(missing_ok=True)
