"""Parquet, a bounded number of rows at a time: numbers, booleans and texts are read, other columns only counted."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyarrow import types

from service.ingest.cells import Batch, UnreadValues
from service.ingest.validation import MAX_ROW_BYTES, check_names, check_rows, invalid_file
from service.spec.datasets.report import Reading

MAX_CELLS = 500_000  # in a batch
MAX_GROUP_BYTES = 2**30  # of a row group once it is unpacked
MAX_BATCH_BYTES = 2**25  # of a batch's texts once they are unpacked
MAX_THRIFT = 2**26  # bytes, and entries, of the metadata
BUFFER_BYTES = 2**20  # of a column chunk that is read at once
UNREADABLE = "the file cannot be read as Parquet: it is damaged, or of a kind we do not read."
INDEX = "it is the index of a pandas table"


def read_batches(path: Path, columns: Sequence[str] | None, reading: Reading) -> Iterator[Batch]:
    """Yield the rows as arrays of numbers, booleans or texts."""
    try:
        with _open(path) as file:
            names, unread = _check(file), _unread(file.schema_arrow)
            chosen = list(columns or names)
            read = [name for name in chosen if name not in unread]
            texts = [name for name in read if _is_text(file.schema_arrow.field(name).type)]
        with _open(path, texts) as file:
            for batch in file.iter_batches(max(1, MAX_CELLS // len(chosen)), columns=read, use_threads=False):
                for part in _slices(batch, texts):
                    yield {
                        name: UnreadValues(unread[name], part.num_rows) if name in unread else decode(part.column(name))
                        for name in chosen
                    }
    except MemoryError:  # pyarrow's own is an ArrowException too
        raise
    except (pa.ArrowException, OSError, ValueError, OverflowError):
        raise invalid_file("unreadable", UNREADABLE) from None


def declared_size(path: Path) -> tuple[int, int]:
    """Return the cells that the file declares, and the bytes of their numbers; what texts take is seen on reading."""
    try:
        with _open(path) as file:
            rows = file.metadata.num_rows
            widths = [field.type.bit_width // 8 for field in file.schema_arrow if types.is_primitive(field.type)]
            return rows * len(file.schema_arrow.names), rows * sum(widths)
    except MemoryError:
        raise
    except (pa.ArrowException, OSError, ValueError, OverflowError):
        raise invalid_file("unreadable", UNREADABLE) from None


def _open(path: Path, texts: Sequence[str] = ()) -> Any:
    """Open the file; the columns `texts` come as dictionaries, so that a text that all rows name is there once."""
    return pq.ParquetFile(
        path,
        thrift_string_size_limit=MAX_THRIFT,
        thrift_container_size_limit=MAX_THRIFT,
        memory_map=False,
        buffer_size=BUFFER_BYTES,
        read_dictionary=list(texts),
    )


def _slices(batch: Any, texts: Sequence[str]) -> Iterator[Any]:
    """Yield the rows in parts whose texts take a bounded number of bytes once they are unpacked."""
    if not texts or not batch.num_rows:
        yield batch
        return
    sizes = sum(_text_bytes(batch.column(name)) for name in texts)
    ends = np.cumsum(sizes)
    if int(np.max(sizes)) > MAX_ROW_BYTES:
        detail = f"the texts of a row take more than {MAX_ROW_BYTES} bytes."
        raise invalid_file("row_too_long", detail, MAX_ROW_BYTES)
    start = 0
    while start < batch.num_rows:
        before = int(ends[start - 1]) if start else 0
        end = max(start + 1, int(np.searchsorted(ends, before + MAX_BATCH_BYTES, side="right")))
        yield batch.slice(start, end - start)
        start = end


def _text_bytes(array: Any) -> npt.NDArray[np.int64]:
    """Return the bytes of each cell, (rows,)."""
    if not types.is_dictionary(array.type):
        return _numpy(pc.binary_length(array))
    return np.append(_numpy(pc.binary_length(array.dictionary)), 0)[_numpy(array.indices, -1)]


def _numpy(array: Any, missing: int = 0) -> npt.NDArray[np.int64]:
    found: npt.NDArray[np.int64] = pc.fill_null(array.cast(pa.int64()), missing).to_numpy(zero_copy_only=False)
    return found


def _check(file: Any) -> list[str]:
    """Return the column names, or raise `Invalid` if the file cannot be read in bounded memory."""
    schema, metadata = file.schema_arrow, file.metadata
    names: list[str] = list(schema.names)
    check_names(names)
    check_rows(metadata.num_rows)
    for group in range(metadata.num_row_groups):
        if metadata.row_group(group).total_byte_size > MAX_GROUP_BYTES:
            raise invalid_file(
                "row_group_too_large", "a row group is larger than 1 GiB: write smaller ones.", MAX_GROUP_BYTES
            )
    if len(_unread(schema)) == len(names):
        detail = f"the column {names[0]} is {schema.field(0).type}: only numbers, booleans and texts are read."
        raise invalid_file("wrong_type", detail)
    return names


def _unread(schema: Any) -> dict[str, str]:
    """Return the columns of dates, lists and so on, and their types."""
    return {field.name: str(field.type) for field in schema if not _is_readable(field.type)}


def index_columns(schema: Any) -> list[str]:
    """Return the columns that pandas wrote for a table's index, according to its metadata."""
    try:
        described = json.loads((schema.metadata or {}).get(b"pandas", b"{}"))
        index = described.get("index_columns", ())
        return [name for name in index if isinstance(name, str) and name in schema.names]
    except (ValueError, AttributeError, TypeError):
        return []


def index_of(path: Path) -> list[str]:
    """Return the index columns of a file."""
    return index_columns(pq.read_schema(path))


def _is_text(kind: Any) -> bool:
    value = kind.value_type if types.is_dictionary(kind) else kind
    return bool(types.is_string(value) or types.is_large_string(value))


def _is_readable(kind: Any) -> bool:
    if types.is_dictionary(kind):
        return _is_readable(kind.value_type)
    numbers = types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind)
    return bool(
        numbers or types.is_null(kind) or types.is_boolean(kind) or types.is_string(kind) or types.is_large_string(kind)
    )


def decode(array: Any) -> Any:
    """Unpack dictionaries and give texts one type; a number keeps its type, and with that its digits."""
    if types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if types.is_null(array.type):
        return array.cast(pa.float64())
    return array.cast(pa.large_string()) if types.is_string(array.type) else array
