"""Writers of the long table of curves: Arrow, Parquet, CSV, NDJSON."""

import io
import json
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from service.export.curves import Piece
from service.export.number_texts import number_texts

FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what a spreadsheet would run
WHOLE = ("step", "first_step", "last_step", "count", "nonfinite")


class _Drain(io.RawIOBase):
    """A file that Arrow writes to and whose bytes are taken away as they come."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._written = 0

    def write(self, data: Any) -> int:
        self._parts.append(bytes(data))
        self._written += len(data)
        return len(data)

    def tell(self) -> int:
        return self._written

    def writable(self) -> bool:
        return True

    def take(self) -> bytes:
        """Return what was written since the last call."""
        data = b"".join(self._parts)
        self._parts.clear()
        return data


def write_batches(columns: list[str], found: Iterable[Piece], as_parquet: bool) -> Iterator[bytes]:
    """Write record batches as an Arrow stream or as Parquet."""
    word = pa.dictionary(pa.int32(), pa.string())
    numbers = [(name, pa.int64() if name in WHOLE else pa.float64()) for name in columns]
    drain, schema = _Drain(), pa.schema([("run_id", word), ("series", word), *numbers])
    with (pq.ParquetWriter if as_parquet else pa.ipc.new_stream)(pa.PythonFile(drain, mode="w"), schema) as writer:
        for key, values in found:
            rows = len(next(iter(values.values())))
            words = [_repeat(text, rows) for text in (key.run_id, key.name)]
            writer.write_batch(pa.record_batch([*words, *map(pa.array, values.values())], schema=schema))
            yield drain.take()
    yield drain.take()


def _repeat(word: str, rows: int) -> Any:
    return pa.DictionaryArray.from_arrays(np.zeros(rows, np.int32), pa.array([word]))


def write_csv(columns: list[str], found: Iterable[Piece]) -> Iterator[bytes]:
    """Write CSV with a header; no text in it is a formula to a spreadsheet."""
    yield (",".join(["run_id", "series", *columns]) + "\r\n").encode()
    for key, values in found:
        cells = [number_texts(name, column, quoted=False) for name, column in values.items()]
        head = f"{_cell(key.run_id)},{_cell(key.name)}"
        yield _join(pc.binary_join_element_wise(head, *cells, ","), "\r\n")


def _cell(word: str) -> str:
    guarded = "'" + word if word.startswith(FORMULA) else word
    return '"' + guarded.replace('"', '""') + '"'


def write_ndjson(found: Iterable[Piece]) -> Iterator[bytes]:
    """Write a JSON object a line."""
    for key, values in found:
        parts: list[Any] = [f'{{"run_id":{json.dumps(key.run_id)},"series":{json.dumps(key.name)}']
        for name, column in values.items():
            parts += [f',"{name}":', number_texts(name, column)]
        yield _join(pc.binary_join_element_wise(*parts, "}", ""), "\n")


def _join(lines: Any, end: str) -> bytes:
    if not len(lines):
        return b""
    whole = pa.ListArray.from_arrays(pa.array([0, len(lines)], pa.int32()), lines)
    joined: str = pc.binary_join(whole, end)[0].as_py()
    return (joined + end).encode()
