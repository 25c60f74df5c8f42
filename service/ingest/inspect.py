"""The report on a file: one pass over its rows, or over its characters."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from service.ingest import csv, jsonl, npz, parquet
from service.ingest.csv import Batch
from service.ingest.dialect import Dialect, dialect, looks_like_table
from service.ingest.formats import PIECE, format_of
from service.ingest.notes import note_on_test, notes_on
from service.ingest.refusing import check_rows, refused
from service.ingest.tally import Tally
from service.spec.datasets.report import RULES, Column, Format, Reading, Report
from service.spec.datasets.uploaded import MAX_VOCABULARY

READERS = {
    "csv": csv.batches,
    "jsonl": jsonl.batches,
    "json": jsonl.batches,
    "parquet": parquet.batches,
    "npz": npz.batches,
}
NO_NAME = "it has no name in the file"
LOOKS_LIKE_TABLE = (
    "It is taken as a text because of its name, to predict character by character, and looks like a table: "
    "to train on its columns, upload it again with format=csv."
)
CLASSES_IN_ALL = 100_000  # over all columns of a report


def batches(path: Path, kind: Format, columns: Sequence[str] | None, reading: Reading) -> Iterator[Batch]:
    """The rows of a table, some at a time, in the file's order."""
    return READERS[kind](path, columns, reading)


def characters(path: Path) -> Iterator[str]:
    """A text, some at a time; a byte order mark is no part of it, and every line end is one character."""
    with path.open(encoding="utf-8-sig", errors="strict") as file:
        while piece := file.read(PIECE):
            yield piece


def inspect(path: Path, declared: Format | None = None, name: str = "", header: bool | None = None) -> Report:
    """What is in the file, or `Invalid` with what is wrong with it. `header`: of a CSV; None: found out."""
    kind = format_of(path, declared, name)
    if header is not None and kind != "csv":
        raise refused("wrong_format", f"the file is {kind}, which has no first line of names: leave header out.")
    return _text(path) if kind == "text" else _table(path, kind, header)


def _text(path: Path) -> Report:
    found: set[str] = set()
    length = 0
    for piece in characters(path):
        length += len(piece)
        found |= set(piece)
        if len(found) > MAX_VOCABULARY:
            detail = f"more than {MAX_VOCABULARY} different characters: too many to predict one by one."
            raise refused("too_many_classes", detail, MAX_VOCABULARY)
    notes = (LOOKS_LIKE_TABLE,) if looks_like_table(path) else ()
    return Report(format="text", rows=length, characters="".join(sorted(found)), notes=notes)


def _table(path: Path, kind: Format, header: bool | None) -> Report:
    written = dialect(path, header) if kind == "csv" else None
    reading = Reading(rules=RULES, header=written is None or written.has_header)
    tallies: dict[str, Tally] = {}
    rows = 0
    for batch in batches(path, kind, None, reading):
        for name, array in batch.items():
            if name not in tallies:
                tallies[name] = Tally(name, len(batch), thousands=written is None or written.delimiter == ",")
            tallies[name].add(array)
        rows += len(next(iter(batch.values())))
        check_rows(rows)
    if not rows:
        raise refused("empty", "the file has no rows.")
    if kind == "jsonl" and rows == 1 and any(tally.holds for tally in tallies.values()):
        raise refused("no_table", f"the file is one object with lists or objects in it, no table: {jsonl.WANTED}.")
    points = _unclear_points(list(tallies.values())) if written is not None else []
    aside = _aside(path, kind, written)
    columns = [tally.column().model_copy(update={"aside": aside.get(name)}) for name, tally in tallies.items()]
    test = npz.test_rows(path, reading) if kind == "npz" else 0
    return Report(
        format=kind,
        rows=rows,
        test=test,
        reading=reading,
        columns=_bounded(columns),
        constant=tuple(column.name for column in columns if column.constant),
        scale_ratio=_scale_ratio(columns),
        notes=(*notes_on(columns, list(tallies.values()), points, rows), *note_on_test(rows, test)),
    )


def _unclear_points(tallies: list[Tally]) -> list[str]:
    """Where other columns have decimal commas, 1.234 may be either number: such columns, which are text then."""
    if not any(tally.commas and tally.decimal and not tally.text for tally in tallies):
        return []
    unclear = [tally for tally in tallies if tally.unclear]
    for tally in unclear:
        tally.text = True
    return [tally.name for tally in unclear]


def _aside(path: Path, kind: Format, written: Dialect | None) -> dict[str, str]:
    """Columns that are no feature unless they are asked for by name, and why."""
    if written is not None:
        return dict.fromkeys(written.unnamed, NO_NAME)
    return dict.fromkeys(parquet.index_of(path), parquet.INDEX) if kind == "parquet" else {}


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
