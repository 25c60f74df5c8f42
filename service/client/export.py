"""Points of runs in a file: CSV, JSON lines, Arrow or Parquet, one row per value, one run in memory at a time."""

import contextlib
import csv
import importlib
import io
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, Any

from service.client.errors import Unusable
from service.nonfinite import dumps, spell

Columns = dict[str, Any]  # name -> array, all of one length
NAMES = ("run", "experiment", "name", "seed", "series", "step", "value")
FORMATS = ("csv", "ndjson", "parquet", "arrow")
SUFFIXES = {f".{each}": each for each in FORMATS} | {".jsonl": "ndjson", ".feather": "arrow"}


def format_of(path: Path) -> str:
    """Return the format that a file's name asks for."""
    known = SUFFIXES.get(path.suffix.lower())
    if known is None:
        raise Unusable(f"--format is needed for {path}: one of {', '.join(FORMATS)}")
    return known


def library(name: str, package: str = "") -> Any:
    """Import a library that only some commands need, or raise `Unusable` with what to install."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError:
        raise Unusable(f"this needs {name}, which is not installed: pip install {package or name}") from None


def write(parts: Iterable[Columns], form: str, target: Path | None) -> int:
    """Write the points and return the number of rows; a file appears when it is complete, None is standard output."""
    if target is None:
        return _to_standard_output(parts, form)
    partial = target.with_name(f".saddle-{os.getpid()}.part")  # no longer than a name that fits
    try:
        with partial.open("wb") as file:
            rows = WRITERS[form](parts, file)
        partial.replace(target)
    except OSError as error:
        raise Unusable(f"{target} cannot be written ({error.strerror})") from None
    finally:
        partial.unlink(missing_ok=True)
    return rows


def _to_standard_output(parts: Iterable[Columns], form: str) -> int:
    try:
        return WRITERS[form](parts, sys.stdout.buffer)
    except BrokenPipeError:
        raise  # the reader closed the pipe
    except OSError as error:
        raise Unusable(f"standard output cannot be written ({error.strerror})") from None


def _rows(part: Columns) -> Iterator[tuple[Any, ...]]:
    return zip(*(part[name].tolist() for name in NAMES), strict=True)


def _csv(parts: Iterable[Columns], file: IO[bytes]) -> int:
    """Write NaN, Infinity and -Infinity as words, which pandas and numpy read."""
    rows = 0
    with _text(file) as text:
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(NAMES)
        for part in parts:
            for *front, value in _rows(part):
                writer.writerow([*front, spell(value)])
                rows += 1
    return rows


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
    """Write UTF-8 into a binary file, which stays open."""
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


def _tables(parts: Iterable[Columns], open_writer: Callable[[Any], Any]) -> int:
    arrow = library("pyarrow")
    texts = dict.fromkeys(("run", "experiment", "name", "series"), arrow.string())
    numbers = {"seed": arrow.int64(), "step": arrow.int64(), "value": arrow.float64()}
    schema = arrow.schema([(name, (texts | numbers)[name]) for name in NAMES])
    rows = 0
    with open_writer(schema) as writer:
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
