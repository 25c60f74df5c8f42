"""Scaling, fitted on the training part in passes over blocks, so that rows on disk scale like rows in memory.

Fitted and applied in float64: a column far from 0, such as Unix time, loses its digits in float32. The scaled rows have
the float type of the run.
"""

import math
import mmap
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from service.spec.datasets.base import Scaling
from service.spec.datasets.precision import is_coarse
from worker.trainer.numerics import float_type

BLOCK_ROWS = 65_536  # sums are rounded block by block; every bundled dataset is one block
PIECE_BYTES = 2**19  # of float64: no more is copied at once, so that it stays in the cache and takes little memory
Floats = npt.NDArray[Any]  # of the run's float type
Doubles = npt.NDArray[np.float64]
ReadBlock = Callable[[slice], npt.NDArray[Any]]  # a block of the training rows


class Scale(NamedTuple):
    """(row - shift) / divisor, column by column, in float64."""

    shift: Doubles
    divisor: Doubles

    def apply(self, rows: npt.NDArray[Any]) -> Floats:
        """Scale rows."""
        return ((rows - self.shift) / self.divisor).astype(float_type())

    def without(self, columns: npt.NDArray[np.bool_]) -> "Scale":
        """Return the scale that leaves these columns unchanged."""
        return Scale(np.where(columns, 0.0, self.shift), np.where(columns, 1.0, self.divisor))

    def as_json(self) -> dict[str, Any]:
        """Return shift and divisor as nested lists; Python's text of a double is exact."""
        return {"shift": self.shift.tolist(), "divisor": self.divisor.tolist()}


def fit_scale(scaling: Scaling, take: ReadBlock, rows: int) -> Scale | None:
    """Fit a scale on `rows` training rows (at least one); return None if they stay unscaled."""
    if scaling == "none":
        return None
    low, high = _extremes(take, rows)
    if scaling == "minmax":
        return Scale(low, np.where(low == high, 1.0, high - low))
    mean = _mean(take, rows, None)
    deviation = np.sqrt(_mean(take, rows, mean))
    return Scale(mean, np.where(low == high, 1.0, deviation))


def to_float_type(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Convert floats to the run's float type, a piece at a time; leave everything else unchanged."""
    if values.dtype.kind != "f" or values.dtype == float_type():
        return values
    return _convert(values, lambda piece: piece)


def apply_scale(scale: Scale, values: npt.NDArray[Any]) -> Floats:
    """Scale all rows, in place if they have the run's float type: in float64, a piece at a time."""
    return _convert(values, scale.apply)


def _convert(values: npt.NDArray[Any], change: Callable[[npt.NDArray[Any]], npt.NDArray[Any]]) -> Floats:
    """Return the changed rows in the run's float type: in place if they have it, else what was read is released."""
    found: Floats = values if values.dtype == float_type() else np.empty(values.shape, float_type())
    for rows in pieces(values.shape, 0, len(values)):
        found[rows] = change(values[rows])
        if found is not values:
            release(values[rows])
    return found


def releasable(shape: tuple[int, ...], kind: np.dtype[Any]) -> npt.NDArray[Any]:
    """Return an array of zeros whose memory `release` can give back piece by piece."""
    size = max(1, math.prod(shape) * kind.itemsize)
    memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    return np.frombuffer(memory, kind, math.prod(shape)).reshape(shape)


def release(rows: npt.NDArray[Any]) -> None:
    """Give back the memory of rows of a `releasable` array, which nobody reads again; that of others stays."""
    owner: Any = rows
    while isinstance(owner, np.ndarray):
        owner = owner.base
    memory = owner.obj if isinstance(owner, memoryview) else owner
    if not isinstance(memory, mmap.mmap) or not rows.flags.c_contiguous or isinstance(rows, np.memmap):
        return
    start = rows.ctypes.data - np.frombuffer(memory, np.uint8).ctypes.data
    first, last = -(-start // mmap.PAGESIZE), (start + rows.nbytes) // mmap.PAGESIZE  # whole pages
    if first < last:
        memory.madvise(mmap.MADV_DONTNEED, first * mmap.PAGESIZE, (last - first) * mmap.PAGESIZE)


def coarse_columns(take: ReadBlock, rows: int) -> list[int]:
    """Return columns of unscaled doubles whose values float32 can hardly tell apart."""
    if take(slice(0, 1)).dtype != np.float64 or float_type() == np.float64:
        return []  # nothing is converted
    low, high = (each.ravel() for each in _extremes(take, rows))
    std = np.sqrt(_mean(take, rows, _mean(take, rows, None))).ravel()
    return [at for at, column in enumerate(zip(std, low, high, strict=True)) if is_coarse(*map(float, column))]


def pieces(shape: tuple[int, ...], first: int, last: int) -> Iterator[slice]:
    """Yield rows `first` to `last` of an array of this shape in order, `PIECE_BYTES` at a time."""
    size = max(1, PIECE_BYTES // max(1, 8 * math.prod(shape[1:])))
    for start in range(first, last, size):
        yield slice(start, min(start + size, last))


def _blocks(take: ReadBlock, rows: int) -> Iterator[Iterator[npt.NDArray[Any]]]:
    """Yield the rows in order, block by block, each in pieces."""
    shape = take(slice(0, 1)).shape
    for start in range(0, rows, BLOCK_ROWS):
        yield map(take, pieces(shape, start, min(start + BLOCK_ROWS, rows)))


def _extremes(take: ReadBlock, rows: int) -> tuple[Doubles, Doubles]:
    """Return the minimum and maximum of each column."""
    low = high = take(slice(0, 1))[0]
    for block in _blocks(take, rows):
        for piece in block:
            low, high = np.minimum(low, piece.min(axis=0)), np.maximum(high, piece.max(axis=0))
    return low.astype(np.float64), high.astype(np.float64)


def _mean(take: ReadBlock, rows: int, around: Doubles | None) -> Doubles:
    """Return the mean of each column, or of its squared distance from `around` (divisor N)."""
    total: Any = 0.0
    for block in _blocks(take, rows):
        summed: Any = 0.0
        for piece in block:
            wide = piece.astype(np.float64)
            if around is not None:
                wide -= around
                np.square(wide, out=wide)
            wide[0] += summed  # row after row, as numpy sums a whole block of several columns
            summed = wide.sum(axis=0)
        total = total + summed
    mean: Doubles = np.asarray(total / rows)
    return mean
