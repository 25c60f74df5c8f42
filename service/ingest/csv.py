"""CSV, a block at a time, every cell as text: what is a number is decided over the whole column."""

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from service.errors import Invalid
from service.ingest.formats import BOM
from service.ingest.refusing import MAX_ROW_BYTES, check_names, refused

Batch = dict[str, Any]  # column -> pyarrow array, or numpy array (N, *shape)
MISSING = ["", "NA", "N/A", "NaN", "nan", "null", "NULL"]  # unless quoted
DELIMITERS = ",;\t|"


def header(path: Path) -> tuple[list[str], str, int]:
    """The column names, the delimiter, and the bytes of a byte order mark before them."""
    with path.open("rb") as file:
        raw = file.readline(MAX_ROW_BYTES + 1)
    if len(raw) > MAX_ROW_BYTES:
        raise refused("row_too_long", f"the first line is longer than {MAX_ROW_BYTES} bytes.", MAX_ROW_BYTES)
    mark = len(BOM) if raw.startswith(BOM) else 0
    line = raw[mark:].decode("utf-8").splitlines()
    if not line or not line[0].strip():
        raise refused("no_header", "the first line must name the columns; it is empty.")
    delimiter = max(DELIMITERS, key=line[0].count)
    csv.field_size_limit(MAX_ROW_BYTES)
    try:
        names = next(csv.reader(io.StringIO(line[0]), delimiter=delimiter, strict=True))
    except csv.Error:
        raise refused("no_header", "the first line must name the columns; its quotes do not match.") from None
    if all(_is_number(name) for name in names):
        raise refused("no_header", "the first line must name the columns; its cells are all numbers.")
    check_names(names)
    return names, delimiter, mark


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def batches(path: Path, columns: Sequence[str] | None = None) -> Iterator[Batch]:
    """The rows as text arrays with nulls where a cell is missing; a row of another length is refused by number."""
    import pyarrow as pa  # noqa: PLC0415  half a second, and most processes never read a file
    from pyarrow import csv as arrow  # noqa: PLC0415

    names, delimiter, mark = header(path)
    ragged: list[tuple[int | None, int]] = []

    def remember(row: Any) -> str:
        ragged.append((row.number, row.actual_columns))
        return "error"

    try:
        with path.open("rb") as file:
            file.seek(mark)
            reader = arrow.open_csv(
                pa.PythonFile(file, mode="r"),
                read_options=arrow.ReadOptions(
                    use_threads=False, block_size=MAX_ROW_BYTES, column_names=names, skip_rows=1
                ),
                parse_options=arrow.ParseOptions(
                    delimiter=delimiter, newlines_in_values=True, invalid_row_handler=remember
                ),
                convert_options=arrow.ConvertOptions(
                    column_types=dict.fromkeys(names, pa.string()),
                    include_columns=list(columns) if columns else None,
                    null_values=MISSING,
                    strings_can_be_null=True,
                    quoted_strings_can_be_null=False,
                ),
            )
            for batch in reader:
                yield dict(zip(batch.schema.names, batch.columns, strict=True))
    except pa.ArrowException as error:
        raise _why(str(error), ragged, len(names)) from None


def _why(message: str, ragged: list[tuple[int | None, int]], expected: int) -> Invalid:
    """What Arrow found, without the cells that it quotes."""
    if ragged:
        number, cells = ragged[0]
        where = f"row {number}" if number is not None else "a row"
        return refused("ragged_row", f"{where} has {cells} cells; the first line names {expected} columns.")
    if "straddl" in message:
        return refused(
            "row_too_long", f"a row is longer than {MAX_ROW_BYTES} bytes, or a quote never ends.", MAX_ROW_BYTES
        )
    if "Empty CSV" in message:
        return refused("empty", "the file has a header and no rows.")
    return refused("unreadable", "the file cannot be read as CSV.")
