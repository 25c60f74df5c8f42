"""JSON lines: one flat object a line, every value as text, as a CSV's cells are."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from service.ingest.csv import Batch
from service.ingest.formats import BOM
from service.ingest.refusing import MAX_ROW_BYTES, check_names, refused

CELLS = 200_000  # in a batch


def batches(path: Path, columns: Sequence[str] | None = None) -> Iterator[Batch]:
    """The rows as text arrays; a key that a line leaves out is a missing value. The first line names the columns."""
    names: list[str] = []
    rows: list[dict[str, str | None]] = []
    for number, row in _rows(path):
        if not names:
            names = list(row)
            check_names(names)
        elif unknown := row.keys() - set(names):
            detail = f"line {number} has {len(unknown)} keys that the first line has not: give all of them there."
            raise refused("ragged_row", detail)
        rows.append(row)
        if len(rows) * len(names) >= CELLS:
            yield _batch(rows, columns or names)
            rows = []
    if rows:
        yield _batch(rows, columns or names)


def _batch(rows: list[dict[str, str | None]], names: Sequence[str]) -> Batch:
    import pyarrow as pa  # noqa: PLC0415  half a second, and most processes never read a file

    return {name: pa.array([row.get(name) for row in rows], pa.string()) for name in names}


def _rows(path: Path) -> Iterator[tuple[int, dict[str, str | None]]]:
    """Line numbers and their objects; empty lines are left out."""
    with path.open("rb") as file:
        number = 0
        while line := file.readline(MAX_ROW_BYTES + 1):
            number += 1
            if len(line) > MAX_ROW_BYTES:
                raise refused("row_too_long", f"line {number} is longer than {MAX_ROW_BYTES} bytes.", MAX_ROW_BYTES)
            if line := line.removeprefix(BOM if number == 1 else b"").strip():
                yield number, _object(line, number)


def _object(line: bytes, number: int) -> dict[str, str | None]:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        raise refused("unreadable", f"line {number} is not JSON.") from None
    if not isinstance(found, dict):
        raise refused("unreadable", f"line {number} is not an object.")
    return {key: _cell(value, number) for key, value in found.items()}


def _cell(value: Any, number: int) -> str | None:
    """A value as a cell of text; NaN is a missing value, as null is."""
    if value is None or value != value:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        if "\x00" in value or any("\ud800" <= c <= "\udfff" for c in value):
            raise refused("bad_character", f"line {number} has a text with a NUL or a lone surrogate.")
        return value
    if isinstance(value, int | float):
        return repr(value)
    raise refused("nested", f"line {number} holds a list or an object in a value: give flat objects.")
