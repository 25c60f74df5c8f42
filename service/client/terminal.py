"""The terminal: how wide it is, whether it may be coloured, and that no text of others can command it."""

import os
import re
import shutil
import sys
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TextIO

from service.spec.text import hidden_positions

CODES = {"red": 31, "green": 32, "yellow": 33, "blue": 34, "magenta": 35, "cyan": 36, "bold": 1, "dim": 2}
HUES = ("cyan", "magenta", "yellow", "green", "blue", "red")
COLOURED = re.compile(r"\x1b\[[0-9;]*m")
MIN_COLUMNS = 20


def plain(text: object) -> str:
    """Return the text with every invisible character written as an escape, so that it can only be read."""
    shown = str(text)
    invisible = set(hidden_positions(shown))
    return "".join(_escape(c) if at in invisible else c for at, c in enumerate(shown))


def _escape(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"


def width_of(text: str) -> int:
    """Return the columns that a text takes: wide characters two, marks and colours none."""
    text = COLOURED.sub("", text)
    if text.isascii():
        return len(text)
    return sum(0 if _is_zero_width(c) else 1 + (unicodedata.east_asian_width(c) in "WF") for c in text)


def _is_zero_width(character: str) -> bool:
    """Whether it is a mark on the character before it, or a joiner."""
    return unicodedata.category(character) in ("Mn", "Me", "Cf")


def fitted(text: str, columns: int) -> str:
    """Return a text without colours, cut to `columns` with a mark where it is cut."""
    if width_of(text) <= columns:
        return text
    kept = ""
    for character in text:
        if width_of(kept + character) > columns - 1:
            break
        kept += character
    return kept + "~" if columns > 0 else ""


@dataclass
class Terminal:
    """The terminal or file that a command writes to."""

    out: TextIO = field(default_factory=lambda: sys.stdout)
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)

    @property
    def live(self) -> bool:
        """Whether lines can be redrawn."""
        return self.out.isatty() and self.environment.get("TERM") != "dumb"

    @property
    def coloured(self) -> bool:
        """On a terminal, unless NO_COLOR says otherwise (no-color.org)."""
        return self.live and not self.environment.get("NO_COLOR")

    @property
    def unicode(self) -> bool:
        """Whether more than ASCII can be drawn."""
        return (getattr(self.out, "encoding", None) or "").lower().replace("-", "").startswith("utf")

    @property
    def columns(self) -> int:
        """Width; for a file as wide as needed."""
        if not self.out.isatty() and "COLUMNS" not in self.environment:
            return 10_000
        return max(shutil.get_terminal_size().columns, MIN_COLUMNS)

    @property
    def lines(self) -> int:
        """Height."""
        return max(shutil.get_terminal_size().lines, 10)

    def colour(self, text: str, name: str | None) -> str:
        """Return the text in a colour, if there are colours."""
        if not name or not self.coloured:
            return text
        return f"\x1b[{CODES[name]}m{text}\x1b[0m"

    def say(self, text: str = "") -> None:
        """Print a line."""
        print(text, file=self.out, flush=True)
