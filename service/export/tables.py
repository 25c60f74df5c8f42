"""Curves as one long table (run_id, series, step, ...), written a piece at a time: Arrow, Parquet, CSV, NDJSON."""

import json
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from service.export.curves import Column, Curves, Key
from service.export.texts import numbers

ARROW, PARQUET = "application/vnd.apache.arrow.stream", "application/vnd.apache.parquet"
CSV, NDJSON = "text/csv", "application/x-ndjson"
FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what a spreadsheet would run

Piece = tuple[Key, dict[str, Column]]


def pieces(curves: Curves) -> Iterator[Piece]:
    """Each series by itself."""
    for key, begin, end in zip(curves.keys, curves.bounds, curves.bounds[1:], strict=False):
        yield key, {name: column[begin:end] for name, column in curves.columns.items()}


def write(media: str, columns: list[str], found: Iterable[Piece]) -> Iterator[bytes]:
    """The table in the form of this media type; holds no more than one piece at a time."""
    if media == ARROW:
        return _arrow(columns, found)
    if media == PARQUET:
        return _parquet(columns, found)
    return _csv(columns, found) if media == CSV else _ndjson(found)


class _Drain:
    """A file that Arrow writes to and whose bytes are taken away as they come."""

    closed = False

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._at = 0

    def write(self, data: bytes) -> int:
        self._parts.append(bytes(data))
        self._at += len(data)
        return len(data)

    def tell(self) -> int:
        return self._at

    def flush(self) -> None:
        pass

    def writable(self) -> bool:
        return True

    def readable(self) -> bool:
        return False

    def seekable(self) -> bool:
        return False

    def close(self) -> None:
        pass

    def taken(self) -> bytes:
        data = b"".join(self._parts)
        self._parts.clear()
        return data


def _schema(columns: list[str]) -> Any:
    import pyarrow as pa  # noqa: PLC0415

    words = [("run_id", pa.dictionary(pa.int32(), pa.string())), ("series", pa.dictionary(pa.int32(), pa.string()))]
    whole = ("step", "first_step", "last_step", "count", "nonfinite")
    return pa.schema(words + [(name, pa.int64() if name in whole else pa.float64()) for name in columns])


def _batch(schema: Any, piece: Piece) -> Any:
    import pyarrow as pa  # noqa: PLC0415

    key, columns = piece
    n = len(next(iter(columns.values())))
    words = [_repeated(word, n) for word in (key.run_id, key.name)]
    return pa.record_batch([*words, *(pa.array(column) for column in columns.values())], schema=schema)


def _repeated(word: str, n: int) -> Any:
    import pyarrow as pa  # noqa: PLC0415

    return pa.DictionaryArray.from_arrays(np.zeros(n, np.int32), pa.array([word]))


def _arrow(columns: list[str], found: Iterable[Piece]) -> Iterator[bytes]:
    import pyarrow as pa  # noqa: PLC0415

    drain, schema = _Drain(), _schema(columns)
    with pa.ipc.new_stream(pa.PythonFile(drain, mode="w"), schema) as writer:
        for piece in found:
            writer.write_batch(_batch(schema, piece))
            yield drain.taken()
    yield drain.taken()


def _parquet(columns: list[str], found: Iterable[Piece]) -> Iterator[bytes]:
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.parquet as pq  # noqa: PLC0415

    drain, schema = _Drain(), _schema(columns)
    with pq.ParquetWriter(pa.PythonFile(drain, mode="w"), schema) as writer:
        for piece in found:
            writer.write_batch(_batch(schema, piece))
            yield drain.taken()
    yield drain.taken()


def _csv(columns: list[str], found: Iterable[Piece]) -> Iterator[bytes]:
    import pyarrow.compute as pc  # noqa: PLC0415

    yield (",".join(["run_id", "series", *columns]) + "\r\n").encode()
    for key, values in found:
        cells = [numbers(name, column, quoted=False) for name, column in values.items()]
        head = f"{_cell(key.run_id)},{_cell(key.name)}"
        yield _lines(pc.binary_join_element_wise(head, *cells, ","), "\r\n")


def _cell(word: str) -> str:
    """A text that no spreadsheet takes for a formula."""
    guarded = "'" + word if word.startswith(FORMULA) else word
    return '"' + guarded.replace('"', '""') + '"'


def _ndjson(found: Iterable[Piece]) -> Iterator[bytes]:
    import pyarrow.compute as pc  # noqa: PLC0415

    for key, values in found:
        parts: list[Any] = [f'{{"run_id":{json.dumps(key.run_id)},"series":{json.dumps(key.name)}']
        for name, column in values.items():
            parts += [f',"{name}":', numbers(name, column)]
        yield _lines(pc.binary_join_element_wise(*parts, "}", ""), "\n")


def _lines(lines: Any, end: str) -> bytes:
    if not len(lines):
        return b""
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.compute as pc  # noqa: PLC0415

    whole = pa.ListArray.from_arrays(pa.array([0, len(lines)], pa.int32()), lines)
    joined: str = pc.binary_join(whole, end)[0].as_py()
    return (joined + end).encode()
