"""Markdown for people and assistants: text of users is data in it, tables that hold, answers of bounded length."""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence

MAX_NAME = 80  # characters of a name that are shown
MAX_CHARACTERS = 6000  # of an answer: about 1,500 tokens
JOINERS = "\u200c\u200d"  # the invisible characters that words and emoji need
SPECIAL = re.compile(r"([\\`*\[\]<>#|!~]|\b_|_\b)")


def visible(text: str) -> str:
    """Return the text on one line, without control characters and others that only a program sees."""
    shown = (c if unicodedata.category(c)[0] != "C" or c in JOINERS else " " for c in text)
    return " ".join("".join(shown).split())


def plain(text: str) -> str:
    """Return text that is only text in markdown: no markup, no link, no new line, no column of a table."""
    return SPECIAL.sub(r"\\\1", visible(text))


def quoted(text: str, limit: int = MAX_NAME) -> str:
    """Return what a user typed, in double quotes: the marks say that it is a name or a remark, and no instruction."""
    shown = visible(text)
    short = shown if len(shown) <= limit else f"{shown[: limit - 1]}…"
    return '"{}"'.format(plain(short).replace('"', r"\""))


def quote_names(text: str, names: Iterable[str]) -> str:
    """Return a sentence of ours as plain text, with each of these names in it quoted."""
    known = sorted({visible(name) for name in names} - {""}, key=len, reverse=True)
    if not known:
        return plain(text)
    pattern = re.compile("({})".format("|".join(rf"(?<!\w){re.escape(name)}(?!\w)" for name in known)))
    parts = pattern.split(visible(text))
    return "".join(_keep_blanks(part) if at % 2 == 0 else quoted(part) for at, part in enumerate(parts))


def _keep_blanks(part: str) -> str:
    """Return a part as plain text, with a blank where it begins or ends with one."""
    return " " * part.startswith(" ") + plain(part) + " " * (part.endswith(" ") and bool(part.strip()))


def number(value: float | None, digits: int = 4) -> str:
    """Return significant digits; a dash for None."""
    return "-" if value is None else f"{value:.{digits}g}"


def interval(low: float | None, high: float | None) -> str:
    """Return an interval in brackets; a dash where there is none."""
    return "-" if low is None or high is None else f"[{number(low)}, {number(high)}]"


def table(head: Sequence[str], rows: Sequence[Sequence[object]], most: int = 20) -> Iterator[str]:
    """Yield the lines of a table, of cells that are markdown already; tell how many rows beyond `most` there are."""
    if not rows:
        return
    yield f"| {' | '.join(head)} |"
    yield "|" + "---|" * len(head)
    yield from (f"| {' | '.join(map(str, row))} |" for row in rows[:most])
    if len(rows) > most:
        yield f"({len(rows) - most} more)"


def document(sections: Iterable[Iterable[str]], whole: str, most: int = MAX_CHARACTERS) -> str:
    """Return the sections with an empty line between them, at most `most` characters of them.

    Lines beyond are left out from the end, and a last line tells so and where the `whole` is.
    """
    text = "\n\n".join(filter(None, ("\n".join(section) for section in sections))) + "\n"
    if len(text) <= most:
        return text
    note = f"(shortened; the whole answer: {whole})\n"
    kept = text[: most - len(note) - 2].rpartition("\n")[0].rstrip()
    return f"{kept}\n\n{note}"
