"""Bootstrap intervals of a mean over seeds: bias-corrected and accelerated (Efron 1987, JASA 82, 171-185).

Up to `EXACT` values every resample there is enters with its probability: nothing is drawn, the answer is the
bootstrap's limit. Beyond, `RESAMPLES` are drawn with a fixed seed. Values of no spread are their own interval.
"""

import math
from collections.abc import Sequence
from functools import lru_cache
from itertools import combinations_with_replacement
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from service.analysis.arrays import Values

Interval = tuple[float, float]
EXACT = 7  # values; 7 have 1,716 different resamples
RESAMPLES = 2000
SEED = 20_260_101  # of the drawing: the same data give the same interval
NORMAL = NormalDist()


def bootstrap_mean(values: npt.ArrayLike, level: float = 0.95) -> Interval | None:
    """Finite values (n,) -> the interval of their mean; None below two values."""
    return bootstrap_means([np.asarray(values, dtype=np.float64)], level)[0]


def bootstrap_means(samples: Sequence[Values | Sequence[float]], level: float = 0.95) -> list[Interval | None]:
    """The same of many samples; those of one size share their resamples."""
    if not 0 < level < 1:
        raise ValueError(f"level must be within 0 and 1; it is {level}.")
    found: list[Interval | None] = [None] * len(samples)
    for size in {len(sample) for sample in samples} - {0, 1}:
        places = [place for place, sample in enumerate(samples) if len(sample) == size]
        for place, interval in zip(places, _intervals(np.stack([samples[p] for p in places]), level), strict=True):
            found[place] = interval
    return found


@lru_cache(maxsize=32)
def _resamples(n: int) -> tuple[Values, Values]:
    """Shares of the n values in each resample (B, n), and the resamples' probabilities (B,)."""
    if n > EXACT:
        counts = np.random.default_rng(SEED).multinomial(n, np.full(n, 1 / n), RESAMPLES)
        return counts / n, np.full(RESAMPLES, 1 / RESAMPLES)
    picked = np.array(list(combinations_with_replacement(range(n), n)))
    counts = (picked[:, :, None] == np.arange(n)).sum(axis=1)
    factorial = np.array([math.factorial(k) for k in range(n + 1)], dtype=np.float64)
    return counts / n, factorial[n] / factorial[counts].prod(axis=1) / float(n) ** n


def _intervals(x: Values, level: float) -> list[Interval]:
    """Rows of x (C, n) -> an interval each."""
    shares, probability = _resamples(x.shape[1])
    scale = np.abs(x).max(axis=1, keepdims=True)
    scale = np.where(scale > 0, scale, 1.0)
    means = (x / scale) @ shares.T  # (C, B)
    order = np.argsort(means, axis=1)
    ordered = np.take_along_axis(means, order, axis=1)
    upto = np.cumsum(probability[order], axis=1)
    return [
        _interval(row / size, ordered[c], upto[c], size, level)
        for c, (row, size) in enumerate(zip(x, scale[:, 0].tolist(), strict=True))
    ]


def _interval(x: Values, ordered: Values, upto: Values, scale: float, level: float) -> Interval:
    """Of one sample scaled to within -1 and 1: its resamples' means in order, and how likely each or less is."""
    centre = float(x.mean())
    apart = x - centre
    spread = float(np.abs(apart).max())
    if spread <= 1e-14:
        return centre * scale, centre * scale
    apart = apart / spread
    below, beyond = _share(ordered, upto, centre - 1e-12 * spread), _share(ordered, upto, centre + 1e-12 * spread)
    bias = NORMAL.inv_cdf(min(max((below + beyond) / 2, 1e-12), 1 - 1e-12))  # a tie counts half
    acceleration = float((apart**3).sum() / (6 * (apart**2).sum() ** 1.5))  # the jackknife's, of a mean
    ends = []
    for tail in ((1 - level) / 2, (1 + level) / 2):
        z = bias + NORMAL.inv_cdf(tail)
        wanted = NORMAL.cdf(bias + z / (1 - acceleration * z))
        place = min(int(np.searchsorted(upto, wanted - 1e-12)), len(ordered) - 1)
        ends.append(float(ordered[place]) * scale)
    return ends[0], ends[1]


def _share(ordered: Values, upto: Values, value: float) -> float:
    """The probability of a mean of at most `value`."""
    place = int(np.searchsorted(ordered, value, side="right"))
    return float(upto[place - 1]) if place else 0.0
