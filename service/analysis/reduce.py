"""Reduce a series to buckets that keep its extremes.

A bucket of level k holds the steps with the same `step >> k`. Buckets are anchored at step 0, not at the window, so
appending points never changes a complete bucket of the same level, and two buckets of level k make one of level k + 1.
Only the two buckets at the window's edges may be partial.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from service.analysis.arrays import Counts, Mask, Steps, Values, series

Number = TypeVar("Number", np.float64, np.int64)
COLUMNS = ("first_step", "last_step", "min", "max", "mean", "last", "count", "nonfinite")
Starts = npt.NDArray[np.intp]  # where each bucket begins


@dataclass(frozen=True, eq=False)
class Reduced:
    """The non-empty buckets, in order; min, max and mean are NaN where no value is finite."""

    level: int  # k: a bucket spans 2^k steps; 0 is the exact series
    first_step: Steps  # of its points, not of its span
    last_step: Steps
    min: Values  # over finite values, as max and mean
    max: Values
    mean: Values
    last: Values  # exactly the last value: may be NaN or infinite
    count: Counts  # all points, finite or not
    nonfinite: Counts

    @property
    def exact(self) -> bool:
        """Whether each bucket is a single point, as always at level 0."""
        return bool((self.count == 1).all())


def reduce(steps: npt.ArrayLike, values: npt.ArrayLike, points: int) -> Reduced:
    """Reduce a series to at most `points` buckets, of the lowest level that fits.

    Where a bucket's sum overflows (values near 1e308), its mean is computed from values scaled by 2^-64, which is exact
    to rounding. A mean always lies between min and max.
    """
    at, what = series(steps, values)
    level = level_for(int(at[0]), int(at[-1]), points) if at.size else 0
    return bucket_points(at, what, level)[0]


def bucket_points(steps: Steps, values: Values, level: int, owner: Counts | None = None) -> tuple[Reduced, Counts]:
    """Return the points in buckets of `level`, and the owner of each bucket; see `regroup` for `owner`."""
    whose = np.zeros(len(steps), np.int64) if owner is None else owner
    starts = _starts(steps, level, owner)
    finite = np.isfinite(values)
    ends = _ends(starts, len(steps))
    nonfinite = _total((~finite).astype(np.int64), starts)
    count = ends - starts
    least, most = _least(values, finite, starts), _most(values, finite, starts)
    return Reduced(
        level=level,
        first_step=steps[starts],
        last_step=steps[ends - 1],
        min=least,
        max=most,
        mean=np.clip(_mean(values, finite, starts, count - nonfinite), least, most),
        last=values[ends - 1],
        count=count,
        nonfinite=nonfinite,
    ), whose[starts]


def level_for(first: int, last: int, points: int) -> int:
    """Return the lowest level at which the steps first..last fall into at most `points` buckets."""
    if points < 1:
        raise ValueError(f"points must be at least 1; it is {points}.")
    if not 0 <= first <= last:
        raise ValueError(f"The window must have 0 <= first <= last; it is {first} to {last}.")
    level = 0
    while (last >> level) - (first >> level) >= points:
        level += 1
    return level


def single_point_buckets(steps: Steps, values: Values) -> Reduced:
    """Return points as buckets of one, so they can be merged with stored buckets."""
    finite = np.isfinite(values)
    what = values if finite.all() else np.where(finite, values, np.nan)
    ones = np.ones(len(steps), np.int64)
    return Reduced(0, steps, steps, what, what, what, values, ones, (~finite).astype(np.int64))


def join_buckets(parts: Sequence[Reduced]) -> Reduced:
    """Concatenate buckets of several sources; the level is the highest one."""
    if len(parts) == 1:
        return parts[0]
    columns = {name: np.concatenate([getattr(part, name) for part in parts]) for name in COLUMNS}
    return Reduced(level=max(part.level for part in parts), **columns)


def take_buckets(reduced: Reduced, rows: Mask | Starts) -> Reduced:
    """Return the buckets of a mask, or at positions, in their order."""
    return replace(reduced, **{name: getattr(reduced, name)[rows] for name in COLUMNS})


def regroup(reduced: Reduced, level: int, owner: Counts | None = None) -> tuple[Reduced, Counts]:
    """Merge finer buckets to buckets of `level`; return them with the owner of each.

    `owner` (N,) numbers the series that each bucket belongs to; buckets are sorted by owner, then by step.
    """
    whose = np.zeros(len(reduced.count), np.int64) if owner is None else owner
    starts = _starts(reduced.first_step, level, whose)
    if len(starts) == len(whose):
        return replace(reduced, level=level), whose
    ends = _ends(starts, len(whose))
    several = ends - starts > 1
    if 2 * int(several.sum()) < len(starts):  # mostly at this level already: merge only the others
        found = replace(take_buckets(reduced, starts), level=level)
        inside = np.repeat(several, ends - starts)
        seams = _put_together(take_buckets(reduced, inside), _seams((ends - starts)[several]), level)
        for name in COLUMNS:
            getattr(found, name)[several] = getattr(seams, name)
        return found, whose[starts]
    return _put_together(reduced, starts, level), whose[starts]


def _seams(sizes: Counts) -> Starts:
    return np.cumsum(sizes) - sizes


def _put_together(reduced: Reduced, starts: Starts, level: int) -> Reduced:
    ends = _ends(starts, len(reduced.count))
    finite = ~np.isnan(reduced.min)
    least, most = _least(reduced.min, finite, starts), _most(reduced.max, finite, starts)
    count, nonfinite = _total(reduced.count, starts), _total(reduced.nonfinite, starts)
    return Reduced(
        level=level,
        first_step=reduced.first_step[starts],
        last_step=reduced.last_step[ends - 1],
        min=least,
        max=most,
        mean=np.clip(_mean_of_means(reduced, starts, count - nonfinite), least, most),  # NaN where the extremes are
        last=reduced.last[ends - 1],
        count=count,
        nonfinite=nonfinite,
    )


def _mean_of_means(reduced: Reduced, starts: Starts, usable: Counts) -> Values:
    """Return the means from sums, or, where one overflows, from weighted means, which stay in range."""
    weights = reduced.count - reduced.nonfinite
    means = _filled(reduced.mean, weights > 0, 0.0)
    with np.errstate(over="ignore", invalid="ignore"):
        mean = _total(means * weights, starts) / np.maximum(usable, 1)
        over = ~np.isfinite(mean)
        if over.any():
            share = weights / np.maximum(np.repeat(usable, _ends(starts, len(weights)) - starts), 1)
            mean[over] = np.nan_to_num(_total(means * share, starts))[
                over
            ]  # the caller clips values past the largest float
    return mean


def _starts(steps: Steps, level: int, owner: Counts | None = None) -> Starts:
    """Return where each bucket begins in `steps`; an owner's first step begins one too."""
    bucket = steps >> level
    new = bucket[1:] != bucket[:-1]
    if owner is not None:
        new |= owner[1:] != owner[:-1]
    changes = np.flatnonzero(new) + 1
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
        over = ~np.isfinite(mean)  # per bucket, so one huge value does not change the others
        if over.any():
            mean[over] = (_total(filled * 2.0**-64, starts) / np.maximum(usable, 1) * 2.0**64)[over]
    return mean


def _filled(values: Values, finite: Mask, instead: float) -> Values:
    return values if finite.all() else np.where(finite, values, instead)


def _total(amounts: npt.NDArray[Number], starts: Starts) -> npt.NDArray[Number]:
    return np.add.reduceat(amounts, starts) if len(starts) else amounts[:0]
