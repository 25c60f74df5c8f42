"""The values of the column that splits a table: as times, or as labels."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from service.errors import Invalid, Problem
from service.ingest.cells import UnreadValues, is_number, is_text, to_doubles
from service.ingest.class_labels import canonical_label, class_labels, has_leading_zero, unique_values
from service.ingest.report import read_batches
from service.spec.datasets.report import Format, Reading

Times = npt.NDArray[Any]  # (N,): numbers as doubles, or microseconds as int64
POINTER = "/dataset/split/column"


class Labels(NamedTuple):
    """The different values of a column in order, numbers by size, and for each row which of them it has."""

    names: tuple[str, ...]
    rows: npt.NDArray[np.int64]  # (N,)


def invalid_split(code: str, detail: str) -> Invalid:
    """Return the problem of a column that cannot split the rows."""
    return Invalid.of([Problem(POINTER, code, detail)])


def read_labels(content: Path, kind: Format, reading: Reading, column: str) -> Labels:
    """Return the column as labels: numbers by value, so 7 and 7.0 are one, unless some have leading zeros."""
    known: dict[str, int] = {}
    index = []
    for cells in _read_cells(content, kind, reading, column):
        values, places = unique_values(cells)
        labels = [name.strip() for name in class_labels(values)]
        index.append(np.array([*(known.setdefault(name, len(known)) for name in labels), -1], np.int64)[places])
    found = np.concatenate(index)
    if (found < 0).any() or "" in known:
        raise invalid_split("missing_values", f"the column {column} lacks values: fill them and upload again.")
    return _in_order(list(known), found)


def _in_order(names: Sequence[str], index: npt.NDArray[np.int64]) -> Labels:
    """Merge spellings of one number, and number the labels by size or by spelling, as numpy sorts them."""
    if not all(map(is_number, names)):
        order = sorted(names)
    elif any(map(has_leading_zero, names)):
        order = sorted(names, key=lambda name: (float(name.replace(",", ".", 1)), name))
    else:
        names = [canonical_label(name) for name in names]
        order = sorted(set(names), key=float)
    place = {name: at for at, name in enumerate(order)}
    return Labels(tuple(order), np.array([place[name] for name in names], np.int64)[index])


def read_times(content: Path, kind: Format, reading: Reading, column: str) -> Times:
    """Return the column as numbers, or as microseconds of dates and times, (N,)."""
    if kind == "parquet" and not _is_plain(content, column):
        return _read_dates(content, column)
    blocks = [_times_of(cells, column) for cells in _read_cells(content, kind, reading, column)]
    if len({block.dtype.kind for block in blocks}) > 1:
        raise _no_time(column)
    return np.concatenate(blocks)


def _read_cells(content: Path, kind: Format, reading: Reading, column: str) -> Iterator[Any]:
    for batch in read_batches(content, kind, [column], reading):
        if isinstance(batch[column], UnreadValues):
            raise invalid_split("wrong_type", f"the column {column} is {batch[column].kind}, which is not read.")
        yield batch[column]


def _times_of(cells: Any, column: str) -> Times:
    numbers = to_doubles(cells)
    if numbers is None:
        return _microseconds(cells, column)
    if not np.isfinite(numbers).all():
        raise _no_time(column)
    return numbers


def _microseconds(cells: Any, column: str) -> npt.NDArray[np.int64]:
    """Return dates and times of ISO 8601, all with a zone or all without."""
    trimmed = pc.utf8_trim_whitespace(cells) if is_text(cells) else cells
    for zone in (None, "UTC"):
        try:
            return _whole(trimmed.cast(pa.timestamp("us", zone)), column)
        except pa.ArrowInvalid:
            continue
    raise _no_time(column)


def _is_plain(content: Path, column: str) -> bool:
    kind = pq.read_schema(content).field(column).type
    return not pa.types.is_temporal(kind)


def _read_dates(content: Path, column: str) -> npt.NDArray[np.int64]:
    with pq.ParquetFile(content) as file:
        batches = file.iter_batches(2**20, columns=[column], use_threads=False)
        try:
            return np.concatenate([_whole(batch.column(0).cast(pa.timestamp("us")), column) for batch in batches])
        except pa.ArrowException:
            raise _no_time(column) from None


def _whole(times: Any, column: str) -> npt.NDArray[np.int64]:
    if times.null_count:
        raise _no_time(column)
    found: npt.NDArray[np.int64] = times.cast(pa.int64()).to_numpy(zero_copy_only=False)
    return found


def _no_time(column: str) -> Invalid:
    detail = (
        f"the column {column} is no time: every row needs a number, or every row a date of ISO 8601 "
        "(2026-01-31, 2026-01-31 12:00:00, or with a zone, 2026-01-31T12:00:00Z)."
    )
    return invalid_split("wrong_time", detail)
