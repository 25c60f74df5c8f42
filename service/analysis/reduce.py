"""A series reduced to buckets that keep its extremes.

A bucket of level k holds the steps with one value of `step >> k`: buckets are anchored at step 0 and not at
the window, so appending points never changes a complete bucket as long as the level stays, and two buckets
of level k make one of level k + 1. Only the two buckets at the window's edges may be partial.
"""

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from service.analysis.arrays import Counts, Mask, Steps, Values, series

Number = TypeVar("Number", np.float64, np.int64)
Starts = npt.NDArray[np.intp]  # where each bucket begins


@dataclass(frozen=True, eq=False)
class Reduced:
    """Per bucket that holds points, in order; min, max and mean are NaN where no value is finite."""

    level: int  # k: a bucket spans 2^k steps; 0 is the exact series
    first_step: Steps  # of the points that are there, not of the bucket's span
    last_step: Steps
    min: Values  # over finite values, as max and mean
    max: Values
    mean: Values
    last: Values  # exactly the last value: may be NaN or infinite
    count: Counts  # all points, finite or not
    nonfinite: Counts

    @property
    def exact(self) -> bool:
        """Nothing was put together: each bucket is one point (always so at level 0)."""
        return bool((self.count == 1).all())


def reduce(
    steps: npt.ArrayLike,
    values: npt.ArrayLike,
    points: int,
    first: int | None = None,
    last: int | None = None,
) -> Reduced:
    """The series within [first, last] (default: its own ends) in at most `points` buckets of least level.

    Where a bucket's plain sum overflows (values near 1e308), its mean is taken from values scaled by 2^-64:
    still right to rounding. A mean always lies between min and max.
    """
    at, what = series(steps, values)
    first = first if first is not None else int(at[0]) if at.size else 0
    last = last if last is not None else max(int(at[-1]), first) if at.size else first
    level = level_for(first, last, points)
    low, high = np.searchsorted(at, first, side="left"), np.searchsorted(at, last, side="right")
    at, what = at[low:high], what[low:high]
    starts = _starts(at, level)
    finite = np.isfinite(what)
    ends = _ends(starts, len(at))
    nonfinite = _total((~finite).astype(np.int64), starts)
    count = ends - starts
    least, most = _least(what, finite, starts), _most(what, finite, starts)
    return Reduced(
        level=level,
        first_step=at[starts],
        last_step=at[ends - 1],
        min=least,
        max=most,
        mean=np.clip(_mean(what, finite, starts, count - nonfinite), least, most),
        last=what[ends - 1],
        count=count,
        nonfinite=nonfinite,
    )


def level_for(first: int, last: int, points: int) -> int:
    """The smallest k at which the steps first..last fall into at most `points` buckets."""
    if points < 1:
        raise ValueError(f"points must be at least 1; it is {points}.")
    if not 0 <= first <= last:
        raise ValueError(f"The window must have 0 <= first <= last; it is {first} to {last}.")
    level = 0
    while (last >> level) - (first >> level) >= points:
        level += 1
    return level


def merge_buckets(reduced: Reduced) -> Reduced:
    """The same points one level up: equal to reducing them directly, the mean to rounding."""
    starts = _starts(reduced.first_step, reduced.level + 1)
    ends = _ends(starts, len(reduced.count))
    usable = reduced.count - reduced.nonfinite
    finite = usable > 0
    least, most = _least(reduced.min, finite, starts), _most(reduced.max, finite, starts)
    total = np.repeat(_total(usable, starts), ends - starts)
    share = usable / np.maximum(total, 1)  # weights first: w1 m1 + w2 m2 stays in range, a sum of sums may not
    with np.errstate(over="ignore"):  # rounding past the largest float, which clipping takes back
        mean = _total(np.where(finite, reduced.mean, 0.0) * share, starts)
    return Reduced(
        level=reduced.level + 1,
        first_step=reduced.first_step[starts],
        last_step=reduced.last_step[ends - 1],
        min=least,
        max=most,
        mean=np.clip(mean, least, most),  # NaN where the extremes are: clipping carries it over
        last=reduced.last[ends - 1],
        count=_total(reduced.count, starts),
        nonfinite=_total(reduced.nonfinite, starts),
    )


def _starts(steps: Steps, level: int) -> Starts:
    """Where each bucket of the level begins in `steps`."""
    bucket = steps >> level
    changes = np.flatnonzero(bucket[1:] != bucket[:-1]) + 1
    return np.append(0, changes) if len(steps) else changes


def _ends(starts: Starts, n: int) -> Starts:
    return np.append(starts[1:], n) if len(starts) else starts


def _least(values: Values, finite: Mask, starts: Starts) -> Values:
    found = np.minimum.reduceat(_filled(values, finite, np.inf), starts) if len(starts) else values[:0]
    return np.where(found == np.inf, np.nan, found)


def _most(values: Values, finite: Mask, starts: Starts) -> Values:
    found = np.maximum.reduceat(_filled(values, finite, -np.inf), starts) if len(starts) else values[:0]
    return np.where(found == -np.inf, np.nan, found)


def _mean(values: Values, finite: Mask, starts: Starts, usable: Counts) -> Values:
    filled = _filled(values, finite, 0.0)
    with np.errstate(over="ignore", invalid="ignore"):
        mean = _total(filled, starts) / np.maximum(usable, 1)
        over = ~np.isfinite(mean)  # bucket by bucket, so that one huge value leaves the others' bits alone
        if over.any():
            mean[over] = (_total(filled * 2.0**-64, starts) / np.maximum(usable, 1) * 2.0**64)[over]
    return mean


def _filled(values: Values, finite: Mask, instead: float) -> Values:
    return values if finite.all() else np.where(finite, values, instead)


def _total(amounts: npt.NDArray[Number], starts: Starts) -> npt.NDArray[Number]:
    return np.add.reduceat(amounts, starts) if len(starts) else amounts[:0]
