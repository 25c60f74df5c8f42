"""CSV, a block at a time, every cell as text: what is a number is decided over the whole column."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from service.errors import Invalid
from service.ingest.dialect import Dialect, dialect
from service.ingest.refusing import MAX_ROW_BYTES, refused
from service.ingest.values import MISSING
from service.spec.datasets.report import RULES, Reading

Batch = dict[str, Any]  # column -> pyarrow array, numpy array (N, *shape), or `Unread`
MEND = "Give each row as many cells, and quote a cell that has the delimiter in it."
FORMERLY_MISSING = ("", "NA", "N/A", "NaN", "nan", "null", "NULL")  # in files that were uploaded under rules 1
BLANKS = re.compile(rb"[ \t]+")
EDGES = re.compile(rb"^ | (?=\r?$)", re.MULTILINE)


def batches(path: Path, columns: Sequence[str] | None, reading: Reading) -> Iterator[Batch]:
    """The rows as text arrays with nulls where a cell is missing; a row of another length is refused by number."""
    import pyarrow as pa  # noqa: PLC0415  half a second, and most processes never read a file
    from pyarrow import csv as arrow  # noqa: PLC0415

    found = dialect(path, reading.header, reading.rules)
    ragged: list[tuple[int | None, int]] = []

    def remember(row: Any) -> str:
        ragged.append((row.number, row.actual_columns))
        return "error"

    try:
        with path.open("rb") as file:
            file.seek(found.mark)
            reader = arrow.open_csv(
                pa.PythonFile(_Squeezed(file) if found.is_spaced else file, mode="r"),
                read_options=arrow.ReadOptions(
                    use_threads=False,
                    block_size=MAX_ROW_BYTES,
                    column_names=found.names,
                    skip_rows=int(found.has_header),
                ),
                parse_options=arrow.ParseOptions(
                    delimiter=found.delimiter, newlines_in_values=True, invalid_row_handler=remember
                ),
                convert_options=arrow.ConvertOptions(
                    column_types=dict.fromkeys(found.names, pa.string()),
                    include_columns=list(columns) if columns else None,
                    null_values=_missing(reading),
                    strings_can_be_null=True,
                    quoted_strings_can_be_null=False,
                ),
            )
            for batch in reader:
                yield dict(zip(batch.schema.names, batch.columns, strict=True))
    except pa.ArrowException as error:
        raise _why(str(error), ragged, found) from None


def _missing(reading: Reading) -> list[str]:
    """What stands for no value unless it is quoted; also with the blank that some write behind a delimiter."""
    return [*MISSING, *(f" {word}" for word in MISSING)] if reading.rules >= RULES else list(FORMERLY_MISSING)


class _Squeezed:
    """A file in which runs of blanks divide cells, with single blanks, and none at the ends of a line."""

    closed = False

    def __init__(self, file: BinaryIO) -> None:
        self.file = file

    def read(self, size: int = -1) -> bytes:
        """At most `size` bytes and the rest of their last line; no bytes only at the end of the file."""
        piece = self.file.read(max(size // 2, 1)) + self.file.readline(MAX_ROW_BYTES)
        return EDGES.sub(b"", BLANKS.sub(b" ", piece))


def _why(message: str, ragged: list[tuple[int | None, int]], found: Dialect) -> Invalid:
    """What Arrow found, without the cells that it quotes."""
    if ragged:
        number, cells = ragged[0]
        where = f"row {number} (the first line is row 1)" if number is not None else "a row"
        says = "names" if found.has_header else "has"
        return refused(
            "ragged_row", f"{where} has {cells} cells; the first line {says} {len(found.names)} columns. {MEND}"
        )
    if "straddl" in message:
        return refused(
            "row_too_long", f"a row is longer than {MAX_ROW_BYTES} bytes, or a quote never ends.", MAX_ROW_BYTES
        )
    if "Empty CSV" in message or "header" in message:
        return refused("empty", "the file has a header and no rows.")
    return refused("unreadable", "the file cannot be read as CSV.")
