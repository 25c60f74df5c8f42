"""Curves as raw arrays that a page reads without parsing: `application/vnd.saddle.columns`.

    bytes 0..3   length L of the header, unsigned, little-endian
    bytes 4..    the header: L bytes of JSON, padded with spaces so that 4 + L is a multiple of 8
    then         the arrays, little-endian, each at a multiple of 8

The header holds `x`, `reduction`, `series` ([{run_id, name, begin, count}], where a series begins in every array and
how many entries it has) and `columns` ([{name, dtype, at, length}], `at` in bytes from the start of the message).
dtype is f4 where every value is exactly a float32, else f8; steps and counts are u4 where they fit, else f8 (exact
below 2^53). In min, max and mean NaN stands for "nothing finite".
"""

import json
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from service.export.curves import Column, Curves

MEDIA_TYPE = "application/vnd.saddle.columns"
ALIGNMENT = 8  # bytes


def write(curves: Curves, axis: str) -> bytes:
    """Return the whole message."""
    arrays = {name: _narrow(column) for name, column in curves.columns.items()}
    series = [
        {"run_id": key.run_id, "name": key.name, "begin": begin, "count": end - begin}
        for key, begin, end in zip(curves.keys, curves.bounds.tolist(), curves.bounds[1:].tolist(), strict=False)
    ]
    head = {"version": 1, "x": axis, "reduction": curves.reduction, "series": series}
    header = _header(head, arrays)
    return b"".join([len(header).to_bytes(4, "little"), header, *_padded(arrays)])


def _narrow(column: Column) -> npt.NDArray[np.generic]:
    if column.dtype.kind == "i":
        fits = not len(column) or int(column.max()) < 2**32
        return column.astype("<u4" if fits else "<f8")
    with np.errstate(over="ignore", under="ignore"):
        single = column.astype("<f4")
    same = (single == column) | (np.isnan(single) & np.isnan(column))
    return single if same.all() else column.astype("<f8")


def _header(head: dict[str, object], arrays: dict[str, npt.NDArray[np.generic]]) -> bytes:
    """Return the header, padded for the largest offsets, because its length and the offsets depend on each other."""
    room = len(json.dumps(head | {"columns": _positions(arrays, 10**15)}))
    room += -(4 + room) % ALIGNMENT
    return json.dumps(head | {"columns": _positions(arrays, 4 + room)}).encode().ljust(room)


def _positions(arrays: dict[str, npt.NDArray[np.generic]], at: int) -> list[dict[str, object]]:
    positions = []
    for name, array in arrays.items():
        positions.append({"name": name, "dtype": array.dtype.str[1:], "at": at, "length": len(array)})
        at += array.nbytes + -array.nbytes % ALIGNMENT
    return positions


def _padded(arrays: dict[str, npt.NDArray[np.generic]]) -> Iterator[bytes]:
    for array in arrays.values():
        yield array.tobytes()
        yield bytes(-array.nbytes % ALIGNMENT)
