"""The report on a file: one pass over its rows, or over its characters."""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from service.ingest import csv, jsonl, npz, parquet
from service.ingest.cells import Batch, PresentCells, UnreadValues
from service.ingest.column_statistics import ColumnStatistics
from service.ingest.dialect import Dialect, detect_dialect, looks_like_table
from service.ingest.formats import detect_format, read_text
from service.ingest.table_notes import notes_on
from service.ingest.tokenizer_files.report import report_tokenizer
from service.ingest.validation import SizeLimits, check_rows, invalid_file
from service.ingest.weights.report import report_weights
from service.spec.datasets.report import RULES, Column, Format, Reading, Report
from service.spec.datasets.upload_base import MAX_VOCABULARY

READERS = {
    "csv": csv.read_batches,
    "jsonl": jsonl.read_batches,
    "json": jsonl.read_batches,
    "parquet": parquet.read_batches,
    "npz": npz.read_batches,
}
DECLARED_SIZES = {"parquet": parquet.declared_size, "npz": npz.declared_size}
NO_NAME = "it has no name in the file"
LOOKS_LIKE_TABLE = (
    "It is taken as a text because of its name, to predict character by character, and looks like a table: "
    "to train on its columns, upload it again with format=csv."
)
MANY_CHARACTERS = (
    "It has {count} different characters, too many to predict one by one: "
    'train on byte pairs ("tokens": "bpe") or on the tokens of a tokenizer of your own.'
)
MAX_CLASSES_IN_ALL = 100_000  # over all columns of a report
MAX_LABELS_IN_ALL = 2**21  # characters of their names


def read_batches(path: Path, kind: Format, columns: Sequence[str] | None, reading: Reading) -> Iterator[Batch]:
    """Yield the rows of a table, some at a time, in the file's order."""
    return READERS[kind](path, columns, reading)


def build_report(path: Path, declared: Format | None, name: str, header: bool | None, limits: SizeLimits) -> Report:
    """Return what is in the file, or raise `Invalid`."""
    kind = detect_format(path, declared, name)
    if header is not None and kind != "csv":
        detail = f"the file is {kind}, which has no first line of names: leave header out."
        raise invalid_file("wrong_format", detail)
    if kind == "images":
        from service.ingest.images.report import report_images  # noqa: PLC0415  loads Pillow

        return report_images(path, limits)
    if kind == "safetensors":
        return report_weights(path)
    if kind == "tokenizer":
        return report_tokenizer(path)
    report = _report_text(path) if kind == "text" else _report_table(path, kind, header, limits)
    if kind == "parquet" and any(column.type == "other" for column in report.columns):
        from service.ingest.images.encoded import check_encoded  # noqa: PLC0415

        return check_encoded(path, report)
    return report


def _report_text(path: Path) -> Report:
    found: set[str] = set()
    length = 0
    for piece in read_text(path):
        length += len(piece)
        found |= set(piece)
    notes = (LOOKS_LIKE_TABLE,) if looks_like_table(path) else ()
    if len(found) > MAX_VOCABULARY:
        notes = (*notes, MANY_CHARACTERS.format(count=len(found)))
        found = set()
    return Report(format="text", rows=length, characters="".join(sorted(found)), notes=notes)


def _report_table(path: Path, kind: Format, header: bool | None, limits: SizeLimits) -> Report:
    dialect = detect_dialect(path, header) if kind == "csv" else None
    reading = Reading(rules=RULES, header=dialect is None or dialect.has_header)
    if kind in DECLARED_SIZES:
        limits.check(*DECLARED_SIZES[kind](path))
    comma_groups = dialect is None or dialect.delimiter == ","
    found: dict[str, ColumnStatistics] = {}
    rows = row_cells = size = 0
    for count, batch in _present_cells(path, kind, reading):
        size += sum(_bytes_of(cells.array) for cells in batch.values())
        row_cells = row_cells or sum(_values_of(cells.array) for cells in batch.values())
        limits.check((rows + count) * row_cells, size)
        check_rows(rows + count)
        for name, cells in batch.items():
            if name not in found:
                found[name] = ColumnStatistics(name, columns=len(batch), comma_groups=comma_groups)
            found[name].add_missing(rows - found[name].rows)
            found[name].add_present(cells, count)
        rows += count
    for each in found.values():
        each.add_missing(rows - each.rows)
    if not rows:
        raise invalid_file("empty", "the file has no rows.")
    if kind == "jsonl" and rows == 1 and any(each.unread for each in found.values()):
        detail = f"the file is one object with lists or objects in it, no table: {jsonl.EXPECTED_FORMAT}."
        raise invalid_file("no_table", detail)
    ambiguous = _reject_ambiguous_points(list(found.values())) if dialect is not None else []
    aside = _columns_aside(path, kind, dialect)
    columns = [each.as_column().model_copy(update={"aside": aside.get(name)}) for name, each in found.items()]
    test = npz.count_test_rows(path, reading) if kind == "npz" else 0
    return Report(
        format=kind,
        rows=rows,
        test=test,
        reading=reading,
        columns=_limit_classes(columns),
        constant=tuple(column.name for column in columns if column.constant),
        scale_ratio=_scale_ratio(columns),
        notes=tuple(notes_on(columns, list(found.values()), ambiguous, rows, test)),
    )


def _present_cells(path: Path, kind: Format, reading: Reading) -> Iterator[tuple[int, dict[str, PresentCells]]]:
    """Yield the rows, some at a time: how many, and their cells; the first ones have one in every column."""
    if kind in ("jsonl", "json"):
        yield from jsonl.read_present_cells(path)
        return
    for batch in read_batches(path, kind, None, reading):
        yield len(next(iter(batch.values()))), {name: PresentCells(array, None) for name, array in batch.items()}


def _bytes_of(array: Any) -> int:
    return 0 if isinstance(array, UnreadValues) else int(array.nbytes)


def _values_of(array: Any) -> int:
    """Return the values of a row."""
    return math.prod(getattr(array, "shape", ())[1:])


def _reject_ambiguous_points(found: list[ColumnStatistics]) -> list[str]:
    """Make text of columns like 1.234, which may be either number, where other columns have decimal commas."""
    if not any(each.commas and each.decimal_commas and not each.is_text for each in found):
        return []
    ambiguous = [each for each in found if each.has_ambiguous_points]
    for each in ambiguous:
        each.is_text = True
    return [each.name for each in ambiguous]


def _columns_aside(path: Path, kind: Format, dialect: Dialect | None) -> dict[str, str]:
    """Return the columns that are no features unless asked for by name, and why."""
    if dialect is not None:
        return dict.fromkeys(dialect.unnamed, NO_NAME)
    return dict.fromkeys(parquet.index_of(path), parquet.INDEX) if kind == "parquet" else {}


def _scale_ratio(columns: list[Column]) -> float | None:
    """Return the largest standard deviation over the smallest that is not 0."""
    spreads = [column.std for column in columns if column.std and column.type in ("integer", "number")]
    ratio = max(spreads) / min(spreads) if spreads else None
    return ratio if ratio is not None and ratio < float("inf") else None


def _limit_classes(columns: list[Column]) -> tuple[Column, ...]:
    """Keep the classes of the columns with the fewest, up to a limit for the whole report."""
    left, letters = MAX_CLASSES_IN_ALL, MAX_LABELS_IN_ALL
    kept: set[str] = set()
    for column in sorted(columns, key=lambda each: len(each.classes or ())):
        left -= len(column.classes or ())
        letters -= sum(map(len, column.classes or ()))
        if left >= 0 and letters >= 0:
            kept.add(column.name)
    return tuple(c if c.name in kept else c.model_copy(update={"classes": None}) for c in columns)
