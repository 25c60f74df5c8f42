"""The packed form of a run of values of one series.

`values` is one format byte and then the numbers, little-endian:

    0  constant   one float64, repeated n times
    1  float32    n numbers; used only where every value survives the round trip exactly
    2  float64    n numbers

Codes from 3 on are free (a compressed form may take one). `steps` is n int64, little-endian, and only there
when the steps are uneven; even ones are `first_step + i * every`. Every float64 comes back bit for bit,
except that all NaN become the one quiet NaN. The view `metric_point` reads these same bytes in SQL: a
change here is one there.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from service.analysis.arrays import Steps, Values, series
from service.analysis.reduce import bucket_points
from service.db.metrics.rollup_codec import pack_buckets

CONSTANT, SINGLE, DOUBLE = 0, 1, 2
BASE_LEVEL = 4  # the level of a chunk's own buckets: 16 steps each
MIN_BUCKETED = 64  # values; a shorter chunk is read as it is
MAX_EVERY = 2**31 - 1  # steps between neighbours: `every` is an int4 column; wider even spacing is listed like uneven


@dataclass(frozen=True)
class Chunk:
    """One stored row of a series; at least one value. min, max and mean are over the finite values."""

    first_step: int
    last_step: int
    every: int  # distance between steps; 0 when `steps` lists them; 1 for a single value
    n: int
    min: float | None  # None where no value is finite, as for max and mean
    max: float | None
    min_step: int | None  # the first step that holds min
    max_step: int | None
    mean: float | None
    last: float  # exactly the last value: may be NaN or infinite
    nonfinite: int
    values: bytes
    steps: bytes | None
    buckets: bytes | None = None  # of 2^BASE steps; None where they would save nothing


class Extremes(NamedTuple):
    """Over the finite values of a chunk; all None where there are none."""

    min: float | None
    max: float | None
    min_step: int | None
    max_step: int | None
    mean: float | None


def pack(steps: npt.ArrayLike, values: npt.ArrayLike) -> Chunk:
    """The chunk that holds `values` at `steps` (int64, strictly increasing, >= 0); refuses an empty one."""
    at, what = _checked(steps, values)
    every = _every(at)
    finite = np.isfinite(what)
    extremes = _extremes(at, what, finite)
    return Chunk(
        first_step=int(at[0]),
        last_step=int(at[-1]),
        every=every,
        n=len(at),
        min=extremes.min,
        max=extremes.max,
        min_step=extremes.min_step,
        max_step=extremes.max_step,
        mean=extremes.mean,
        last=float(what[-1]),
        nonfinite=len(at) - int(np.count_nonzero(finite)),
        values=_encode(what),
        steps=None if every else at.astype("<i8").tobytes(),
        buckets=_buckets(at, what),
    )


def _buckets(steps: Steps, values: Values) -> bytes | None:
    """Return the lowest level of buckets, where it is a fourth of the values or less."""
    spans = (int(steps[-1]) >> BASE_LEVEL) - (int(steps[0]) >> BASE_LEVEL) + 1
    if len(steps) < MIN_BUCKETED or spans > len(steps) // 4:
        return None
    return pack_buckets(bucket_points(steps, values, BASE_LEVEL)[0])


def unpack(
    first_step: int, last_step: int, every: int, n: int, values: bytes, steps: bytes | None
) -> tuple[Steps, Values]:
    """Steps (n,) and values (n,) of a stored chunk, as new arrays; ValueError where its fields disagree."""
    if n < 1:
        raise ValueError(f"A chunk holds at least one value; this one says n = {n}.")
    return _unpack_steps(first_step, last_step, every, n, steps), _decode(values, n)


def unpack_between(
    first: int, last: int, first_step: int, last_step: int, every: int, n: int, values: bytes, steps: bytes | None
) -> tuple[Steps, Values]:
    """Return the points with first <= step <= last of a stored chunk; with even steps no other is decoded."""
    if not every or n < 1 or (first <= first_step and last_step <= last):
        at, what = unpack(first_step, last_step, every, n, values, steps)
        low, high = np.searchsorted(at, first, "left"), np.searchsorted(at, last, "right")
        return at[low:high], what[low:high]
    begin, end = max(-((first_step - first) // every), 0), min((last - first_step) // every + 1, n)
    return first_step + every * np.arange(begin, end, dtype=np.int64), _decode(values, n, begin, max(begin, end))


def merge(parts: Sequence[tuple[Steps, Values]]) -> Chunk:
    """Return one chunk with the points of several, in the order of their steps and without overlap."""
    if not parts:
        raise ValueError("There is nothing to merge: give at least one chunk.")
    steps, values = zip(*parts, strict=True)
    return pack(np.concatenate(steps), np.concatenate(values))


def _checked(steps: npt.ArrayLike, values: npt.ArrayLike) -> tuple[Steps, Values]:
    """The arrays as int64 and float64, every NaN made the same NaN; ValueError says which rule is broken."""
    at, what = series(steps, values)
    if not len(at):
        raise ValueError("A chunk holds at least one value; this one is empty.")
    nan = np.isnan(what)
    return at, np.where(nan, np.nan, what) if nan.any() else what


def _every(steps: Steps) -> int:
    if len(steps) == 1:
        return 1
    every = int(steps[1] - steps[0])
    return every if every <= MAX_EVERY and (steps[1:] - steps[:-1] == every).all() else 0


def _extremes(steps: Steps, values: Values, finite: npt.NDArray[np.bool_]) -> Extremes:
    if not finite.all():
        steps, values = steps[finite], values[finite]
    if not len(values):
        return Extremes(None, None, None, None, None)
    low, high = int(values.argmin()), int(values.argmax())
    least, most = float(values[low]), float(values[high])
    return Extremes(least, most, int(steps[low]), int(steps[high]), _mean(values, least, most))


def _mean(values: Values, least: float, most: float) -> float:
    """The mean, kept between the extremes; where the plain sum overflows, of values scaled by 2^-64."""
    with np.errstate(over="ignore", invalid="ignore"):
        mean = float(values.mean())
        if not np.isfinite(mean):
            mean = float((values * 2.0**-64).mean() * 2.0**64)
    return min(max(mean, least), most)


def _encode(values: Values) -> bytes:
    bits = values.view(np.int64) if values.flags.c_contiguous else values.copy().view(np.int64)
    if bits[0] == bits[-1] and (bits == bits[0]).all():  # bits, so that 0.0 and -0.0 stay two values
        return bytes([CONSTANT]) + values[:1].astype("<f8").tobytes()
    with np.errstate(over="ignore", under="ignore"):
        single = values.astype("<f4")
    if np.array_equal(single.astype(np.float64).view(np.int64), bits):
        return bytes([SINGLE]) + single.tobytes()
    return bytes([DOUBLE]) + values.astype("<f8", copy=False).tobytes()


def _decode(values: bytes, n: int, begin: int = 0, end: int | None = None) -> Values:
    """Return the values from `begin` up to `end` of n; without `end`, all."""
    if not values:
        raise ValueError("The values of this chunk are empty: not even a format byte is there.")
    code = values[0]
    if code == CONSTANT:
        return np.full((n if end is None else end) - begin, _numbers(values, 1, "<f8")[0], dtype=np.float64)
    if code not in (SINGLE, DOUBLE):
        raise ValueError(f"The values of this chunk have format code {code}; known are 0, 1 and 2.")
    return _numbers(values, n, "<f4" if code == SINGLE else "<f8")[begin:end].astype(np.float64)


def _numbers(values: bytes, n: int, kind: str) -> npt.NDArray[np.floating]:
    expected = 1 + n * np.dtype(kind).itemsize
    if len(values) != expected:
        raise ValueError(f"The values of this chunk are {len(values)} bytes; format and n say {expected}.")
    return np.frombuffer(values, dtype=kind, offset=1)


def _unpack_steps(first_step: int, last_step: int, every: int, n: int, steps: bytes | None) -> Steps:
    if every < 0 or (every > 0) == (steps is not None):
        raise ValueError(f"A chunk has either every > 0 or a list of steps; this one has every = {every}.")
    if steps is None:
        if not 0 <= first_step <= last_step == first_step + every * (n - 1):  # before n is believed
            raise ValueError(f"{n} steps from {first_step}, {every} apart, do not end at {last_step}.")
        return first_step + every * np.arange(n, dtype=np.int64)
    if len(steps) != 8 * n:
        raise ValueError(f"The steps of this chunk are {len(steps)} bytes; n says {8 * n}.")
    listed = np.frombuffer(steps, dtype="<i8").astype(np.int64)
    if listed[0] != first_step or listed[-1] != last_step:
        raise ValueError(f"The steps of this chunk are not from {first_step} to {last_step}, as its row says.")
    if first_step < 0 or not (listed[1:] > listed[:-1]).all():
        raise ValueError("The steps of this chunk are not >= 0 and strictly increasing.")
    return listed
