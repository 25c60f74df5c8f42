"""CSV, a block at a time, every cell as text: what is a number is decided over the whole column.

A file whose numbers are all plain reads alike in blocks of any size, so `read_plain_batches` takes small ones.
"""

import re
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
from pyarrow import csv as arrow

from service.errors import Invalid
from service.ingest.cells import MISSING, Batch
from service.ingest.dialect import Dialect, detect_dialect
from service.ingest.validation import MAX_ROW_BYTES, invalid_file
from service.spec.datasets.report import RULES, Reading

MISSING_UNDER_RULES_1 = ["", "NA", "N/A", "NaN", "nan", "null", "NULL"]
BLANKS = re.compile(rb"[ \t]+")
EDGES = re.compile(rb"^ | (?=\r?$)", re.MULTILINE)
PLAIN_BYTES, PLAIN_COLUMN_BYTES = 2**18, 2**11  # of a block, of which Arrow reads 32 ahead: at least; for each column


class NotPlainError(Exception):
    """The file must be read in large blocks: a number is written unusually, or a row is longer than a small block."""


def read_batches(path: Path, columns: Sequence[str] | None, reading: Reading) -> Iterator[Batch]:
    """Yield the rows as text arrays, null where a cell is missing; a row of another length is refused by number."""
    dialect = detect_dialect(path, reading.header, reading.rules)
    ragged: list[tuple[int | None, int]] = []
    try:
        yield from _read(path, columns, reading, dialect, ragged, dialect.names, MAX_ROW_BYTES)
    except pa.ArrowException as error:
        raise _explain(str(error), ragged, dialect) from None


def read_plain_batches(
    path: Path, columns: Sequence[str] | None, reading: Reading, texts: Collection[str]
) -> Iterator[Batch]:
    """Yield the rows as doubles, and the columns `texts` as texts; raise `NotPlainError` where a cell is neither.

    The numbers are those of `read_batches`: where each is plain, no other cell of its column decides how to read it.
    """
    dialect = detect_dialect(path, reading.header, reading.rules)
    size = min(MAX_ROW_BYTES, max(PLAIN_BYTES, PLAIN_COLUMN_BYTES * len(dialect.names)))
    try:
        yield from _read(path, columns, reading, dialect, [], texts, size)
    except pa.ArrowException as error:
        raise NotPlainError from error


def _read(
    path: Path,
    columns: Sequence[str] | None,
    reading: Reading,
    dialect: Dialect,
    ragged: list[tuple[int | None, int]],
    texts: Collection[str],
    block_bytes: int,
) -> Iterator[Batch]:
    """Yield the rows a block at a time; rows of another length are added to `ragged`."""
    types = {name: pa.string() if name in texts else pa.float64() for name in dialect.names}

    def remember(row: Any) -> str:
        ragged.append((row.number, row.actual_columns))
        return "error"

    with path.open("rb") as file:
        file.seek(dialect.start)
        reader = arrow.open_csv(
            pa.PythonFile(_SpacedFile(file) if dialect.is_spaced else file, mode="r"),
            read_options=arrow.ReadOptions(
                use_threads=False,
                block_size=block_bytes,
                column_names=dialect.names,
                skip_rows=int(dialect.has_header),
            ),
            parse_options=arrow.ParseOptions(
                delimiter=dialect.delimiter, newlines_in_values=True, invalid_row_handler=remember
            ),
            convert_options=arrow.ConvertOptions(
                column_types=types,
                include_columns=list(columns) if columns else None,
                null_values=_missing_words(reading),
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
            ),
        )
        for batch in reader:
            yield dict(zip(batch.schema.names, batch.columns, strict=True))


def _missing_words(reading: Reading) -> list[str]:
    """Return the words that mean no value unless quoted, each also with the blank that some write after a delimiter."""
    return [*MISSING, *(f" {word}" for word in MISSING)] if reading.rules >= RULES else MISSING_UNDER_RULES_1


class _SpacedFile:
    """A file whose cells are separated by runs of blanks, read with single blanks and none at the ends of a line."""

    closed = False

    def __init__(self, file: BinaryIO) -> None:
        self.file = file

    def read(self, size: int = -1) -> bytes:
        """Read at most `size` bytes and the rest of their last line; no bytes only at the end of the file."""
        piece = self.file.read(max(size // 2, 1)) + self.file.readline(MAX_ROW_BYTES)
        return EDGES.sub(b"", BLANKS.sub(b" ", piece))


def _explain(message: str, ragged: list[tuple[int | None, int]], dialect: Dialect) -> Invalid:
    """Return the problem that Arrow found, without the cells that its message quotes."""
    if ragged:
        number, cells = ragged[0]
        where = f"row {number} (the first line is row 1)" if number is not None else "a row"
        expected = f"the first line {'names' if dialect.has_header else 'has'} {len(dialect.names)} columns"
        advice = "Give each row as many cells, and quote a cell that has the delimiter in it."
        return invalid_file("ragged_row", f"{where} has {cells} cells; {expected}. {advice}")
    if "straddl" in message:
        detail = f"a row is longer than {MAX_ROW_BYTES} bytes, or a quote never ends."
        return invalid_file("row_too_long", detail, MAX_ROW_BYTES)
    if "Empty CSV" in message or "header" in message:
        return invalid_file("empty", "the file has a header and no rows.")
    return invalid_file("unreadable", "the file cannot be read as CSV.")
