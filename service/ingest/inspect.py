"""The report on a file: one pass over its rows, or over its characters."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from service.ingest import csv, jsonl, npz, parquet
from service.ingest.csv import Batch
from service.ingest.formats import PIECE, format_of
from service.ingest.notes import notes_on
from service.ingest.refusing import check_rows, refused
from service.ingest.tally import Tally
from service.spec.datasets.report import Column, Format, Report
from service.spec.datasets.uploaded import MAX_VOCABULARY

READERS = {"csv": csv.batches, "jsonl": jsonl.batches, "parquet": parquet.batches, "npz": npz.batches}
CLASSES_IN_ALL = 100_000  # over all columns of a report


def batches(path: Path, kind: Format, columns: Sequence[str] | None = None) -> Iterator[Batch]:
    """The rows of a table, some at a time, in the file's order."""
    return READERS[kind](path, columns)


def characters(path: Path) -> Iterator[str]:
    """A text, some at a time; a byte order mark is no part of it, and every line end is one character."""
    with path.open(encoding="utf-8-sig", errors="strict") as file:
        while piece := file.read(PIECE):
            yield piece


def inspect(path: Path, declared: Format | None = None, name: str = "") -> Report:
    """What is in the file, or `Invalid` with what is wrong with it."""
    kind = format_of(path, declared, name)
    return _text(path) if kind == "text" else _table(path, kind)


def _text(path: Path) -> Report:
    found: set[str] = set()
    length = 0
    for piece in characters(path):
        length += len(piece)
        found |= set(piece)
        if len(found) > MAX_VOCABULARY:
            detail = f"more than {MAX_VOCABULARY} different characters: too many to predict one by one."
            raise refused("too_many_classes", detail, MAX_VOCABULARY)
    return Report(format="text", rows=length, characters="".join(sorted(found)))


def _table(path: Path, kind: Format) -> Report:
    tallies: dict[str, Tally] = {}
    rows = 0
    for batch in batches(path, kind):
        for name, array in batch.items():
            tallies.setdefault(name, Tally(name, len(batch))).add(array)
        rows += len(next(iter(batch.values())))
        check_rows(rows)
    if not rows:
        raise refused("empty", "the file has no rows.")
    columns = [tally.column() for tally in tallies.values()]
    constant = tuple(column.name for column in columns if column.constant)
    scale_ratio = _scale_ratio(columns)
    notes = tuple(notes_on(columns))
    found = _bounded(columns)
    return Report(format=kind, rows=rows, columns=found, constant=constant, scale_ratio=scale_ratio, notes=notes)


def _scale_ratio(columns: list[Column]) -> float | None:
    """How many times more the widest column spreads than the narrowest that spreads at all."""
    spreads = [column.std for column in columns if column.std and column.type in ("integer", "number")]
    ratio = max(spreads) / min(spreads) if spreads else None
    return ratio if ratio is not None and ratio < float("inf") else None


def _bounded(columns: list[Column]) -> tuple[Column, ...]:
    """Classes are kept for the columns with the fewest, up to a bound for the whole report."""
    left = CLASSES_IN_ALL
    kept: set[str] = set()
    for column in sorted(columns, key=lambda each: len(each.classes or ())):
        left -= len(column.classes or ())
        if left >= 0:
            kept.add(column.name)
    return tuple(c if c.name in kept else c.model_copy(update={"classes": None}) for c in columns)
