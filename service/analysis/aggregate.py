"""Statistics over seeds: moments, order statistics and the 95 % confidence interval of the mean.

Non-finite values are left out of every statistic and counted as `diverged`, so a diverged seed neither spoils the mean
nor disappears. Values are first scaled by a power of two, so 1e308 and 1e-308 are as exact as 1.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from service.analysis.arrays import Counts, Mask, Values
from service.analysis.t_distribution import t_quantile

UPPER_TAIL = 0.975  # probability below the upper end of a two-sided 95 % interval


@dataclass(frozen=True)
class Aggregate:
    """Statistics of one value per seed; None where too few are finite."""

    n: int  # finite values
    diverged: int  # the others
    mean: float | None
    sd: float | None  # with n - 1; None below two values; infinite where it exceeds float64
    median: float | None
    q1: float | None  # quartiles, linear between values (Hyndman and Fan 1996, type 7)
    q3: float | None
    min: float | None
    max: float | None
    low: float | None  # of the confidence interval; None below two values
    high: float | None


@dataclass(frozen=True, eq=False)
class Band:
    """The same statistics per grid point, each (G,); NaN where Aggregate has None."""

    n: Counts
    diverged: Counts
    mean: Values
    sd: Values
    median: Values
    q1: Values
    q3: Values
    min: Values
    max: Values
    low: Values
    high: Values


def aggregate(values: npt.ArrayLike, overlap: float = 0.0) -> Aggregate:
    """Return the statistics of one value per seed; `overlap`: of the folds that these validate on."""
    return aggregate_many([np.asarray(values, dtype=np.float64)], [overlap])[0]


def aggregate_many(samples: Sequence[npt.ArrayLike], overlaps: Sequence[float] | None = None) -> list[Aggregate]:
    """Return the statistics of each sample; `overlaps`: of each one's folds (see `significance`)."""
    rows = [np.asarray(sample, dtype=np.float64) for sample in samples]
    present = np.arange(max((len(row) for row in rows), default=0))[:, None] < [len(row) for row in rows]
    y = np.full(present.shape, np.nan)
    y.T[present.T] = np.concatenate(rows) if rows else []
    band = aggregate_curves(y, present, 0.0 if overlaps is None else np.asarray(overlaps, np.float64))
    figures = [getattr(band, name).tolist() for name in Aggregate.__dataclass_fields__]
    return [Aggregate(n, d, *map(_or_none, rest)) for n, d, *rest in zip(*figures, strict=True)]


def aggregate_curves(y: Values, present: Mask | None = None, overlap: float | Values = 0.0) -> Band:
    """Return the statistics of curves y (R, G) per grid point; a value that is not `present` has not diverged.

    `overlap`: of folds, for all grid points or for each (G,); it widens the intervals.
    """
    if not len(y):
        y = np.full((1, y.shape[1]), np.nan)
        present = np.zeros(y.shape, dtype=np.bool_)
    finite = np.isfinite(y) if present is None else np.isfinite(y) & present
    n = finite.sum(axis=0)
    exponent = np.frexp(np.where(finite, np.abs(y), 0.0).max(axis=0))[1]
    scaled = np.ldexp(np.where(finite, y, np.nan), -exponent)  # within -1 and 1
    ordered = np.sort(scaled, axis=0)  # NaN last
    least, most = ordered[0], _row(ordered, n - 1)
    mean = np.clip(_mean(scaled, finite, n), least, most)  # so equal values have exactly their mean and no spread
    sd = _deviation(scaled, finite, n, mean)
    half = sd * _t_over_root(n) * np.sqrt(1 + n * overlap)
    with np.errstate(over="ignore"):
        return Band(
            n=n,
            diverged=(len(y) if present is None else present.sum(axis=0)) - n,
            mean=np.ldexp(mean, exponent),
            sd=np.ldexp(sd, exponent),
            median=np.ldexp((_row(ordered, (n - 1) // 2) + _row(ordered, n // 2)) / 2, exponent),
            q1=np.ldexp(_quantile(ordered, n, 0.25), exponent),
            q3=np.ldexp(_quantile(ordered, n, 0.75), exponent),
            min=np.ldexp(least, exponent),
            max=np.ldexp(most, exponent),
            low=np.ldexp(mean - half, exponent),
            high=np.ldexp(mean + half, exponent),
        )


def _mean(values: Values, finite: Mask, n: Counts) -> Values:
    return np.where(n > 0, np.where(finite, values, 0.0).sum(axis=0) / np.maximum(n, 1), np.nan)


def _deviation(values: Values, finite: Mask, n: Counts, mean: Values) -> Values:
    """Return the standard deviation with n - 1, in a second pass; NaN below two values."""
    squares = (np.where(finite, values - mean, 0.0) ** 2).sum(axis=0)
    return np.where(n > 1, np.sqrt(squares / np.maximum(n - 1, 1)), np.nan)


def _t_over_root(n: Counts) -> Values:
    """Return half the interval's width in standard deviations: t(n - 1) / sqrt(n)."""
    known, where = np.unique(n, return_inverse=True)
    factors = (t_quantile(UPPER_TAIL, int(k) - 1) / np.sqrt(k) if k > 1 else np.nan for k in known)
    return np.take(np.fromiter(factors, dtype=np.float64), where)


def _quantile(ordered: Values, n: Counts, share: float) -> Values:
    place = (n - 1).clip(0) * share
    low = np.floor(place).astype(np.int64)
    below, above = _row(ordered, low), _row(ordered, np.minimum(low + 1, n - 1))
    found: Values = below + (place - low) * (above - below)
    return found


def _row(ordered: Values, row: Counts) -> Values:
    """Return each column's value in the given row; below row 0 the first, which is NaN where nothing is finite."""
    found: Values = np.take_along_axis(ordered, row[None, :].clip(0, len(ordered) - 1), axis=0)[0]
    return found


def _or_none(value: float) -> float | None:
    return None if np.isnan(value) else value
