"""How a CSV file is written: what separates its cells, and whether its first line names the columns.

Decided from the first two lines alone, so that every reader of the file decides the same.
"""

import csv
import io
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from service.ingest.cells import MISSING, is_number
from service.ingest.formats import BOM
from service.ingest.validation import MAX_ROW_BYTES, check_columns, check_names, invalid_file
from service.spec.datasets.report import RULES

DELIMITERS_UNDER_RULES_1 = ",;\t|"  # the one that the first line has most often, even in quotes
DELIMITERS = ";\t|,"  # where two fit both lines, the first: a comma may be a decimal one
SPACES = " "  # one or more of them, or tabs, as numpy.savetxt and Fortran write
INDEX = "index"
EXCEL_DELIMITER = re.compile(rb"sep=([;,|\t])\r?\n")  # Excel's own first line
LINE_END = re.compile(r"\r\n|\r|\n")
CELL_END = re.compile(r"[\s;,|#]+")
HEAD_BYTES = 2**16
ADVICE = "upload it with header=false (columns are then column_1, ...) or header=true, or put names into the first line"


class Dialect(NamedTuple):
    """How one file is written."""

    names: list[str]
    delimiter: str
    has_header: bool
    unnamed: frozenset[str]  # columns that the file does not name
    start: int  # bytes before the first line: a byte order mark, and Excel's line with the delimiter

    @property
    def is_spaced(self) -> bool:
        """Whether runs of blanks separate the cells."""
        return self.delimiter == SPACES


def detect_dialect(path: Path, header: bool | None = None, rules: int = RULES) -> Dialect:
    """Return how the file is written; `header` None: find out, and raise `Invalid` where the first line is unclear."""
    with path.open("rb") as file:
        raw = b"".join(_read_line(file.readline) for _ in range(3))
    start = len(BOM) if raw.startswith(BOM) else 0
    declared = EXCEL_DELIMITER.match(raw, start) if rules >= RULES else None
    start = declared.end() if declared else start
    lines = [*LINE_END.split(raw[start:].decode("utf-8")), ""][:2]
    if not lines[0].strip():
        raise invalid_file("no_header", "the first line must name the columns, or hold the first row; it is empty.")
    if rules < RULES:
        former = max(DELIMITERS_UNDER_RULES_1, key=lines[0].count)
        return Dialect(_split(lines[0], former) or [], former, True, frozenset(), start)
    delimiter = declared[1].decode() if declared else _find_delimiter(lines)
    first, second = (_split(line, delimiter) for line in lines)
    if first is None:
        raise invalid_file("no_header", "the first line must name the columns; its quotes do not match.")
    check_columns(len(first))  # before anything is done for each of them
    has_header = is_header(first, second or []) if header is None else header
    given = [cell.strip() for cell in first] if has_header else [""] * len(first)
    names = _fill_names(given) if has_header else [f"column_{at}" for at in range(1, len(first) + 1)]
    unnamed = frozenset(name for name, cell in zip(names, given, strict=True) if has_header and not cell)
    check_names(names)
    return Dialect(names, delimiter, has_header, unnamed, start)


def is_header(first: Sequence[str], second: Sequence[str]) -> bool:
    """Whether the first line names the columns. One that has numbers does if some word is above a number."""
    numeric = [_is_number(cell) for cell in first]
    above = zip(first, numeric, second, strict=False)
    if any(not number and cell.strip() not in MISSING and _is_number(below) for cell, number, below in above):
        return True
    if first[0].strip() == "" and list(first[1:]) == [str(at) for at in range(len(first) - 1)]:
        return True  # pandas names unnamed columns 0, 1, ...
    if all(numeric):
        raise invalid_file("no_header", f"the first line must name the columns; its cells are all numbers: {ADVICE}.")
    if any(numeric):
        raise invalid_file("no_header", f"the first line holds numbers, and may be the first row: {ADVICE}.")
    return True


def looks_like_table(path: Path) -> bool:
    """Whether the second line of a text is nothing but numbers, as many as the first has cells."""
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES).decode("utf-8", "ignore")
    first, second = ([cell for cell in CELL_END.split(line) if cell] for line in [*LINE_END.split(head), "", ""][:2])
    return len(first) == len(second) > 1 and all(map(is_number, second))


def _read_line(read: Callable[[int], bytes]) -> bytes:
    line = read(MAX_ROW_BYTES + 1)
    if len(line) > MAX_ROW_BYTES:
        raise invalid_file("row_too_long", f"a line is longer than {MAX_ROW_BYTES} bytes.", MAX_ROW_BYTES)
    return line


def _find_delimiter(lines: Sequence[str]) -> str:
    """Return what separates both lines into as many cells, quotes respected; else what the first line has most of."""
    counts = {each: [_count_outside_quotes(line, each) for line in lines] for each in DELIMITERS}
    alike = [each for each, (first, second) in counts.items() if first == second > 0]
    if alike:
        return alike[0]
    words = [line.removeprefix("#").split() for line in lines]
    if not any(counts[each][0] for each in DELIMITERS) and len(words[0]) == len(words[1]) > 1:
        return SPACES
    return max(reversed(DELIMITERS), key=lambda each: counts[each][0])


def _count_outside_quotes(line: str, delimiter: str) -> int:
    return sum(part.count(delimiter) for part in line.split('"')[::2])


def _split(line: str, delimiter: str) -> list[str] | None:
    """Return one line's cells; None if its quotes do not match, as where a cell goes on in the next line."""
    if delimiter == SPACES:
        line = " ".join(line.removeprefix("#").split())
    csv.field_size_limit(MAX_ROW_BYTES)
    try:
        return next(csv.reader(io.StringIO(line), delimiter=delimiter, strict=True), [])
    except csv.Error:
        return None


def _fill_names(given: Sequence[str]) -> list[str]:
    """Name the columns that have no name: a first one is the table's index, as pandas writes it."""
    names = list(given)
    for at, name in enumerate(given):
        if not name:
            names[at] = INDEX if at == 0 and INDEX not in given else f"column_{at + 1}"
    return names


def _is_number(cell: str) -> bool:
    """Whether a cell is a number, or several with blanks between them."""
    return bool(cell.strip()) and all(map(is_number, cell.split()))
