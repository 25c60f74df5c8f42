"""JSON: one flat object a line, or an array of them, every value as text, as a CSV's cells are."""

import codecs
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from service.ingest.csv import Batch
from service.ingest.formats import BOM, PIECE
from service.ingest.refusing import MAX_ROW_BYTES, check_names, refused
from service.ingest.values import Unread
from service.spec.datasets.report import Reading

CELLS = 200_000  # in a batch
BLANKS = re.compile(r"[ \t\r\n]+")
WANTED = "give one flat object a line, or an array of them (pandas: to_json(orient='records'))"
NESTED = object()  # a list or an object in a value


def batches(path: Path, columns: Sequence[str] | None, reading: Reading) -> Iterator[Batch]:
    """The rows as text arrays; a key that a row leaves out is a missing value. The first row names the columns."""
    names: list[str] = []
    rows: list[dict[str, Any]] = []
    for where, row in _array(path) if is_array(path) else _lines(path):
        if not names:
            names = list(row)
            check_names(names)
        elif unknown := row.keys() - set(names):
            detail = f"{where} has {len(unknown)} keys that the first one has not: give all of them there."
            raise refused("ragged_row", detail)
        rows.append({name: _cell(value, where) for name, value in row.items()})
        if len(rows) * len(names) >= CELLS:
            yield _batch(rows, columns or names)
            rows = []
    if rows:
        yield _batch(rows, columns or names)


def is_array(path: Path) -> bool:
    """Whether the file is an array of objects."""
    with path.open("rb") as file:
        return file.read(PIECE).removeprefix(BOM).lstrip().startswith(b"[")


def _batch(rows: list[dict[str, Any]], names: Sequence[str]) -> Batch:
    return {name: _column([row.get(name) for row in rows]) for name in names}


def _column(cells: list[Any]) -> Any:
    """Texts that the file has in quotes are declared texts: what they spell makes no two of them one class."""
    import pyarrow as pa  # noqa: PLC0415  half a second, and most processes never read a file

    if NESTED in cells:
        return Unread("list or object", len(cells))
    declared = any(isinstance(cell, str) for cell in cells)
    written = [cell if cell is None or isinstance(cell, str) else cell[0] for cell in cells]
    return pa.array(written, pa.large_string() if declared else pa.string())


def _lines(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each line's object and which line it is; empty lines are left out."""
    with path.open("rb") as file:
        number = 0
        while line := file.readline(MAX_ROW_BYTES + 1):
            number += 1
            if len(line) > MAX_ROW_BYTES:
                raise refused("row_too_long", f"line {number} is longer than {MAX_ROW_BYTES} bytes.", MAX_ROW_BYTES)
            if line := line.removeprefix(BOM if number == 1 else b"").strip():
                yield f"line {number}", _object(line, f"line {number}")


def _array(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each object of an array and which one it is, read piece by piece."""
    decoder, number, text = json.JSONDecoder(), 0, ""
    for piece in _pieces(path):
        text, at, last = text + piece, 0, not piece
        while True:
            start = _next(text, at, "," if number else "[")
            if start is None or text[start] == "]":
                break
            try:
                found, at = decoder.raw_decode(text, start)
            except (ValueError, RecursionError):
                break
            if not isinstance(found, dict):
                raise refused("unreadable", f"item {number + 1} of the array is not an object: {WANTED}.")
            number += 1
            yield f"item {number}", found
        text = text[at:]
        if last and text.strip() != "]":
            raise refused("unreadable", f"the array is no JSON from item {number + 1} on.")
        if len(text) > MAX_ROW_BYTES:
            raise refused("row_too_long", f"item {number + 1} is longer than {MAX_ROW_BYTES} bytes.", MAX_ROW_BYTES)


def _next(text: str, at: int, divider: str) -> int | None:
    """Where the next value begins, or the closing bracket; None: not in this piece."""
    at = _after_blanks(text, at)
    if text.startswith(divider, at):
        at = _after_blanks(text, at + 1)
    elif not text.startswith("]", at):
        return None
    return at if at < len(text) else None


def _after_blanks(text: str, at: int) -> int:
    match = BLANKS.match(text, at)
    return match.end() if match else at


def _pieces(path: Path) -> Iterator[str]:
    """The text, and an empty one at its end."""
    decoder = codecs.getincrementaldecoder("utf-8-sig")()
    with path.open("rb") as file:
        while piece := file.read(PIECE):
            yield decoder.decode(piece)
    yield ""


def _object(line: bytes, where: str) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        raise refused("unreadable", f"{where} is not JSON: {WANTED}.") from None
    if not isinstance(found, dict):
        raise refused("unreadable", f"{where} is not an object: {WANTED}.")
    return found


def _cell(value: Any, where: str) -> Any:
    """A text as it is, a number or a boolean as (its text,); NaN is a missing value, as null is."""
    if value is None or value != value:
        return None
    if isinstance(value, bool):
        return ("true" if value else "false",)
    if isinstance(value, str):
        if "\x00" in value or any("\ud800" <= c <= "\udfff" for c in value):
            raise refused("bad_character", f"{where} has a text with a NUL or a lone surrogate.")
        return value
    return (repr(value),) if isinstance(value, int | float) else NESTED
