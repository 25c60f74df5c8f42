"""Bootstrap intervals of a mean over seeds: bias-corrected and accelerated (Efron 1987, JASA 82, 171-185).

Up to `EXACT` values, every possible resample enters with its probability, so the result is the bootstrap's exact limit.
Beyond, `RESAMPLES` are drawn with a fixed seed. Values without spread are their own interval.
"""

import math
from collections.abc import Sequence
from functools import lru_cache
from itertools import combinations_with_replacement
from statistics import NormalDist

import numpy as np

from service.analysis.arrays import Values

Interval = tuple[float, float]
EXACT = 7  # values; 7 have 1,716 different resamples
RESAMPLES = 2000
SEED = 20_260_101  # the same data give the same interval
NORMAL = NormalDist()


def bootstrap_means(samples: Sequence[Values | Sequence[float]], level: float = 0.95) -> list[Interval | None]:
    """Finite values of each sample -> the interval of its mean; None below two values. Equal sizes share resamples."""
    if not 0 < level < 1:
        raise ValueError(f"level must be within 0 and 1; it is {level}.")
    found: list[Interval | None] = [None] * len(samples)
    for size in {len(sample) for sample in samples} - {0, 1}:
        places = [place for place, sample in enumerate(samples) if len(sample) == size]
        for place, interval in zip(places, _intervals(np.stack([samples[p] for p in places]), level), strict=True):
            found[place] = interval
    return found


def widen(interval: Interval, values: Values | Sequence[float], overlap: float) -> Interval:
    """Return the interval about the mean as wide as folds of this overlap make it (see `significance`)."""
    if not overlap:
        return interval
    mean, factor = float(np.mean(values)), math.sqrt(1 + len(values) * overlap)
    return mean - factor * (mean - interval[0]), mean + factor * (interval[1] - mean)


@lru_cache(maxsize=32)
def _resamples(n: int) -> tuple[Values, Values]:
    """Return the shares of the n values in each resample (B, n), and the probabilities of the resamples (B,)."""
    if n > EXACT:
        counts = np.random.default_rng(SEED).multinomial(n, np.full(n, 1 / n), RESAMPLES)
        return counts / n, np.full(RESAMPLES, 1 / RESAMPLES)
    picked = np.array(list(combinations_with_replacement(range(n), n)))
    counts = (picked[:, :, None] == np.arange(n)).sum(axis=1)
    factorial = np.array([math.factorial(k) for k in range(n + 1)], dtype=np.float64)
    return counts / n, factorial[n] / factorial[counts].prod(axis=1) / float(n) ** n


def _intervals(x: Values, level: float) -> list[Interval]:
    """Return an interval for each row of x (C, n)."""
    shares, probability = _resamples(x.shape[1])
    scale = np.abs(x).max(axis=1, keepdims=True)
    scale = np.where(scale > 0, scale, 1.0)
    means = (x / scale) @ shares.T  # (C, B)
    order = np.argsort(means, axis=1)
    ordered = np.take_along_axis(means, order, axis=1)
    upto = np.cumsum(probability[order], axis=1)
    ends = _ends(x / scale, ordered, upto, level) * scale
    return [(low, high) for low, high in ends.tolist()]


def _ends(x: Values, ordered: Values, upto: Values, level: float) -> Values:
    """Return both ends (C, 2) from rows x (C, n) within -1 and 1, ordered resample means, and their distribution."""
    centre = x.mean(axis=1, keepdims=True)
    apart = x - centre
    spread = np.abs(apart).max(axis=1, keepdims=True)
    apart = apart / np.where(spread > 0, spread, 1.0)
    below, beyond = (_share(ordered, upto, centre + sign * 1e-12 * spread) for sign in (-1, 1))
    half = np.clip((below + beyond) / 2, 1e-12, 1 - 1e-12)  # a tie counts half
    with np.errstate(invalid="ignore"):  # without spread
        acceleration = (apart**3).sum(axis=1) / (6 * (apart**2).sum(axis=1) ** 1.5)  # the jackknife's, of a mean
    wanted = [_levels(share, each, level) for share, each in zip(half.tolist(), acceleration.tolist(), strict=True)]
    before = (upto[:, None, :] < np.array(wanted)[:, :, None] - 1e-12).sum(axis=2)
    ends = np.take_along_axis(ordered, np.minimum(before, ordered.shape[1] - 1), axis=1)
    return np.where(spread > 1e-14, ends, centre)


def _levels(share: float, acceleration: float, level: float) -> tuple[float, float]:
    """Return the corrected levels at which the distribution of the means is read."""
    bias = NORMAL.inv_cdf(share)
    low, high = (bias + NORMAL.inv_cdf(tail) for tail in ((1 - level) / 2, (1 + level) / 2))
    return tuple(NORMAL.cdf(bias + z / (1 - acceleration * z)) for z in (low, high))  # type: ignore[return-value]


def _share(ordered: Values, upto: Values, value: Values) -> Values:
    """Return the probability of a mean of at most `value`, row by row."""
    place = (ordered <= value).sum(axis=1)
    found: Values = np.where(place > 0, upto[np.arange(len(upto)), place - 1], 0.0)
    return found
