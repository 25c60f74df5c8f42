"""Points of runs in a file: CSV, JSON lines, Arrow or Parquet, one row per value, one run in memory at a time."""

import contextlib
import csv
import io
import math
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, Any, Literal, get_args

from service.client.errors import Unusable
from service.client.frames import NAMES, Columns, library
from service.nonfinite import dumps

Format = Literal["csv", "ndjson", "parquet", "arrow"]
FORMATS: tuple[str, ...] = get_args(Format)
ENDINGS = {
    ".csv": "csv",
    ".ndjson": "ndjson",
    ".jsonl": "ndjson",
    ".parquet": "parquet",
    ".arrow": "arrow",
    ".feather": "arrow",
}


def format_of(path: Path) -> str:
    """What a file's name asks for."""
    known = ENDINGS.get(path.suffix.lower())
    if known is None:
        raise Unusable(f"--format is needed for {path}: one of {', '.join(FORMATS)}")
    return known


def write(parts: Iterable[Columns], form: str, target: Path | None) -> int:
    """How many rows were written. A file appears when it is whole; without one, standard output."""
    if target is None:
        return _to_standard_output(parts, form)
    part = target.with_name(f".saddle-{os.getpid()}.part")  # not longer than any name that fits
    try:
        with part.open("wb") as file:
            rows = WRITERS[form](parts, file)
        part.replace(target)
    except OSError as error:
        raise Unusable(f"{target} cannot be written ({error.strerror})") from None
    finally:
        part.unlink(missing_ok=True)
    return rows


def _to_standard_output(parts: Iterable[Columns], form: str) -> int:
    try:
        return WRITERS[form](parts, sys.stdout.buffer)
    except BrokenPipeError:
        raise  # the reader has seen enough
    except OSError as error:
        raise Unusable(f"standard output cannot be written ({error.strerror})") from None


def _rows(part: Columns) -> Iterator[tuple[Any, ...]]:
    return zip(*(part[name].tolist() for name in NAMES), strict=True)


def _csv(parts: Iterable[Columns], file: IO[bytes]) -> int:
    """NaN, Infinity and -Infinity are written like this, which pandas and numpy read."""
    rows = 0
    with _text(file) as text:
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(NAMES)
        for part in parts:
            for *front, value in _rows(part):
                writer.writerow([*front, repr(value) if math.isfinite(value) else _name(value)])
                rows += 1
    return rows


def _name(value: float) -> str:
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _ndjson(parts: Iterable[Columns], file: IO[bytes]) -> int:
    rows = 0
    with _text(file) as text:
        for part in parts:
            for row in _rows(part):
                text.write(dumps(dict(zip(NAMES, row, strict=True))) + "\n")
                rows += 1
    return rows


@contextlib.contextmanager
def _text(file: IO[bytes]) -> Iterator[io.TextIOWrapper]:
    """UTF-8 into a binary file, which stays open."""
    text = io.TextIOWrapper(file, encoding="utf-8", newline="")
    yield text
    text.flush()
    text.detach()


def _parquet(parts: Iterable[Columns], file: IO[bytes]) -> int:
    parquet = library("pyarrow.parquet")
    return _tables(parts, lambda schema: parquet.ParquetWriter(file, schema))


def _arrow(parts: Iterable[Columns], file: IO[bytes]) -> int:
    arrow = library("pyarrow")
    return _tables(parts, lambda schema: arrow.ipc.new_file(file, schema))


def _tables(parts: Iterable[Columns], opened: Callable[[Any], Any]) -> int:
    arrow = library("pyarrow")
    texts = dict.fromkeys(("run", "experiment", "name", "series"), arrow.string())
    numbers = {"seed": arrow.int64(), "step": arrow.int64(), "value": arrow.float64()}
    schema = arrow.schema([(name, (texts | numbers)[name]) for name in NAMES])
    rows = 0
    with opened(schema) as writer:
        for part in parts:
            writer.write_table(arrow.table(part, schema=schema))
            rows += len(part["step"])
    return rows


WRITERS: dict[str, Callable[[Iterable[Columns], IO[bytes]], int]] = {
    "csv": _csv,
    "ndjson": _ndjson,
    "parquet": _parquet,
    "arrow": _arrow,
}
