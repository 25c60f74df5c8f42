"""Files to upload, and standard input: opened for reading, with a label that the server accepts."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from service.client.errors import Unusable
from service.spec.text import hidden_positions, is_visible

STANDARD_INPUT = Path("-")
MAX_LABEL = 128  # characters
MARK = "\ufffd"  # in place of what a name cannot hold


def label(path: Path) -> str:
    """Return the file's name as a label: bytes that are not UTF-8, and characters that cannot be seen, are marked."""
    if path == STANDARD_INPUT:
        return "standard input"
    name = os.fsencode(path.name).decode("utf-8", "replace")
    unseen = set(hidden_positions(name))
    shown = "".join(MARK if at in unseen else character for at, character in enumerate(name))
    return shown[:MAX_LABEL] if is_visible(shown) else "upload"


def standard_input() -> BinaryIO:
    """Return the bytes of standard input; `Unusable` where it is closed."""
    if sys.stdin is None:
        raise Unusable("standard input is closed")
    return sys.stdin.buffer


@contextmanager
def open_upload(path: Path) -> Iterator[BinaryIO]:
    """Open the file, or standard input for `-`; `Unusable` where it cannot be read."""
    try:
        if path == STANDARD_INPUT:
            yield standard_input()
        else:
            with path.open("rb") as file:
                yield file
    except FileNotFoundError:
        raise Unusable(f"there is no file {path}") from None
    except OSError as error:
        raise Unusable(f"{path} cannot be read ({error.strerror})") from None
