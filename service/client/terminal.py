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
NARROWEST = 20


def plain(text: object) -> str:
    """The text with everything that cannot be seen spelled out, so that it can only be read."""
    shown = str(text)
    spelled = set(hidden_positions(shown))
    return "".join(_spelled(c) if at in spelled else c for at, c in enumerate(shown))


def _spelled(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"


def width_of(text: str) -> int:
    """Columns that a text takes: wide characters two, marks none, colours none."""
    text = COLOURED.sub("", text)
    if text.isascii():
        return len(text)
    return sum(0 if _unseen(c) else 1 + (unicodedata.east_asian_width(c) in "WF") for c in text)


def _unseen(character: str) -> bool:
    """Whether it takes no column: a mark on the character before it, or a joiner."""
    return unicodedata.category(character) in ("Mn", "Me", "Cf")


def fitted(text: str, columns: int) -> str:
    """A text without colours, cut to `columns` with a mark where something is missing."""
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
    """Where a command writes."""

    out: TextIO = field(default_factory=lambda: sys.stdout)
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)

    @property
    def live(self) -> bool:
        """Whether lines can be drawn over."""
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
        """Width; into a file as wide as needed."""
        if not self.out.isatty() and "COLUMNS" not in self.environment:
            return 10_000
        return max(shutil.get_terminal_size().columns, NARROWEST)

    @property
    def lines(self) -> int:
        """Height."""
        return max(shutil.get_terminal_size().lines, 10)

    def colour(self, text: str, name: str | None) -> str:
        """The text in a colour, where there are colours."""
        if not name or not self.coloured:
            return text
        return f"\x1b[{CODES[name]}m{text}\x1b[0m"

    def say(self, text: str = "") -> None:
        """A line."""
        print(text, file=self.out, flush=True)
