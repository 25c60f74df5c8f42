"""The reader of JSON files: one flat object per line, or an array of them; values are read as text, as in CSV."""

import codecs
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from service.ingest.cells import Batch, PresentCells, UnreadValues
from service.ingest.formats import BOM, PIECE_BYTES
from service.ingest.validation import MAX_ROW_BYTES, check_names, invalid_file
from service.spec.datasets.report import Reading
from service.spec.validation_errors import sanitise

MAX_CELLS, MAX_ROWS, MAX_BYTES = 200_000, 2**16, 2**24  # of a batch
MAX_NAMED = 5  # keys that a problem names
BLANKS = re.compile(r"[ \t\r\n]+")
EXPECTED_FORMAT = "give one flat object per line, or an array of them (pandas: to_json(orient='records'))"
NESTED_VALUE = object()  # stands for a list or an object


Row = tuple[str, dict[str, Any], int]  # where it is, its values by key, and the bytes it takes


def read_batches(path: Path, columns: Sequence[str] | None, reading: Reading) -> Iterator[Batch]:
    """Yield the rows as text arrays. The first row names the columns; a key that a row lacks is a missing value."""
    for names, rows in _read_rows(path, is_dense=True):
        yield {name: _to_column([row.get(name) for row in rows]) for name in columns or names}


def read_present_cells(path: Path) -> Iterator[tuple[int, dict[str, PresentCells]]]:
    """Yield the number of rows, and the cells of the columns that any of them has: the time follows the bytes."""
    for _, rows in _read_rows(path, is_dense=False):
        found: dict[str, tuple[list[int], list[Any]]] = {}
        for at, row in enumerate(rows):
            for name, cell in row.items():
                places, cells = found.setdefault(name, ([], []))
                places.append(at)
                cells.append(cell)
        yield (
            len(rows),
            {
                name: PresentCells(_to_column(cells), np.array(places) if len(places) < len(rows) else None)
                for name, (places, cells) in found.items()
            },
        )


def _read_rows(path: Path, is_dense: bool) -> Iterator[tuple[list[str], list[dict[str, Any]]]]:
    """Yield the column names and some rows as cells; a dense batch counts the cells that a row lacks."""
    names: list[str] = []
    known: set[str] = set()
    rows: list[dict[str, Any]] = []
    cells = size = 0
    for location, row, row_bytes in _read_array(path) if is_array(path) else _read_lines(path):
        if not names:
            names = list(row)
            check_names(names)
            known = set(names)
        elif not row.keys() <= known:
            new = [name for name in row if name not in known]
            more = f" and {len(new) - MAX_NAMED} more" if len(new) > MAX_NAMED else ""
            detail = f"{location} has {', '.join(new[:MAX_NAMED])}{more}, which the first row does not have"
            raise invalid_file(
                "ragged_row", sanitise(f"{detail}: give it every key, with null where a value is missing.")
            )
        rows.append({name: _to_cell(value, location) for name, value in row.items()})
        cells, size = cells + (len(names) if is_dense else len(row)), size + row_bytes
        if cells >= MAX_CELLS or size >= MAX_BYTES or len(rows) >= MAX_ROWS:
            yield names, rows
            rows, cells, size = [], 0, 0
    if rows:
        yield names, rows


def is_array(path: Path) -> bool:
    """Whether the file is an array of objects."""
    with path.open("rb") as file:
        return file.read(PIECE_BYTES).removeprefix(BOM).lstrip().startswith(b"[")


def _to_column(cells: list[Any]) -> Any:
    """Return the cells as an array; quoted cells are text, so two spellings of a number are two classes."""
    if NESTED_VALUE in cells:
        return UnreadValues("list or object", len(cells))
    declared = any(isinstance(cell, str) for cell in cells)
    texts = [cell if cell is None or isinstance(cell, str) else cell[0] for cell in cells]
    return pa.array(texts, pa.large_string() if declared else pa.string())


def _read_lines(path: Path) -> Iterator[Row]:
    """Yield the object of each line that is not empty."""
    with path.open("rb") as file:
        number = 0
        while line := file.readline(MAX_ROW_BYTES + 1):
            number += 1
            if len(line) > MAX_ROW_BYTES:
                raise invalid_file(
                    "row_too_long", f"line {number} is longer than {MAX_ROW_BYTES} bytes.", MAX_ROW_BYTES
                )
            if line := line.removeprefix(BOM if number == 1 else b"").strip():
                yield f"line {number}", _parse_object(line, f"line {number}"), len(line)


def _read_array(path: Path) -> Iterator[Row]:
    """Yield the object of each item of an array, reading piece by piece."""
    decoder, number, text = json.JSONDecoder(), 0, ""
    for piece in _read_pieces(path):
        text, at, last = text + piece, 0, not piece
        while True:
            start = _find_next(text, at, "," if number else "[")
            if start is None or text[start] == "]":
                break
            try:
                found, at = decoder.raw_decode(text, start)
            except (ValueError, RecursionError):
                break
            if not isinstance(found, dict):
                raise invalid_file("unreadable", f"item {number + 1} of the array is not an object: {EXPECTED_FORMAT}.")
            number += 1
            yield f"item {number}", found, at - start
        text = text[at:]
        if last and text.strip() != "]":
            raise invalid_file("unreadable", f"the array is not valid JSON from item {number + 1} on.")
        if len(text) > MAX_ROW_BYTES:
            raise invalid_file(
                "row_too_long", f"item {number + 1} is longer than {MAX_ROW_BYTES} bytes.", MAX_ROW_BYTES
            )


def _find_next(text: str, at: int, separator: str) -> int | None:
    """Return the position of the next value or of the closing bracket; None if the text ends before it."""
    at = _skip_blanks(text, at)
    if text.startswith(separator, at):
        at = _skip_blanks(text, at + 1)
    elif not text.startswith("]", at):
        return None
    return at if at < len(text) else None


def _skip_blanks(text: str, at: int) -> int:
    match = BLANKS.match(text, at)
    return match.end() if match else at


def _read_pieces(path: Path) -> Iterator[str]:
    """Yield the text in pieces, then an empty one."""
    decoder = codecs.getincrementaldecoder("utf-8-sig")()
    with path.open("rb") as file:
        while piece := file.read(PIECE_BYTES):
            yield decoder.decode(piece)
    yield ""


def _parse_object(line: bytes, location: str) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        raise invalid_file("unreadable", f"{location} is not JSON: {EXPECTED_FORMAT}.") from None
    if not isinstance(found, dict):
        raise invalid_file("unreadable", f"{location} is not an object: {EXPECTED_FORMAT}.")
    return found


def _to_cell(value: Any, location: str) -> Any:
    """Return a text unchanged, a number or boolean as (its text,), and None for NaN and null."""
    if value is None or value != value:
        return None
    if isinstance(value, bool):
        return ("true" if value else "false",)
    if isinstance(value, str):
        if "\x00" in value or any("\ud800" <= c <= "\udfff" for c in value):
            raise invalid_file("bad_character", f"{location} has a text with a NUL character or a lone surrogate.")
        return value
    return (repr(value),) if isinstance(value, int | float) else NESTED_VALUE
