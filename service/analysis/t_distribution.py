"""Student's t distribution for whole degrees of freedom: its quantile, and the p value of a test."""

import math
from functools import lru_cache
from statistics import NormalDist

import numpy as np

from service.analysis.arrays import Values

MAX_PROBABILITY = 1 - 1e-9
SERIES_LIMIT = 400  # degrees of freedom summed exactly; above, the expansion is as exact


@lru_cache(maxsize=1024)
def t_quantile(probability: float, freedom: int) -> float:
    """t with P(T <= t) = probability; relative error below 1e-10 up to 0.9999, then 1e-14 / (1 - probability).

    Newton's method from the normal quantile: the distribution is concave for t > 0, and the normal quantile
    lies below the wanted one, so that each step approaches it from the same side.
    """
    if not 0.5 <= probability <= MAX_PROBABILITY:
        raise ValueError(f"probability must be within 0.5 and {MAX_PROBABILITY}; it is {probability}.")
    if freedom < 1:
        raise ValueError(f"freedom must be at least 1; it is {freedom}.")
    normal = NormalDist().inv_cdf(probability)
    if freedom > SERIES_LIMIT:
        return _expanded(normal, freedom)
    t = normal
    for _ in range(100):
        step = (probability - float(_distribution(np.asarray(t), freedom))) / _density(t, freedom)
        t += step
        if abs(step) <= 1e-14 * t:
            break
    return t


def t_both_tails(t: Values, freedom: int) -> Values:
    """P(|T| >= |t|) for each t: the p values of two-sided tests; absolute error below 1e-13."""
    if freedom < 1:
        raise ValueError(f"freedom must be at least 1; it is {freedom}.")
    return np.where(np.isinf(t), 0.0, np.maximum(0.0, 2 * (1 - _distribution(np.abs(t), freedom))))


def _distribution(t: Values, freedom: int) -> Values:
    """P(T <= t) for t >= 0: the finite sums of Abramowitz and Stegun 26.7.3 (odd v) and 26.7.4 (even v)."""
    theta = np.arctan(t / math.sqrt(freedom))
    sine, cosine = np.sin(theta), np.cos(theta)
    odd = freedom % 2
    total, term = np.zeros_like(theta), cosine if odd else np.ones_like(theta)
    for k in range(odd, freedom - 1, 2):  # powers k of the cosine, up to v - 2
        total = total + term
        term = term * (cosine**2 * ((k + 1) / (k + 2)))
    both_sides: Values = 2 / math.pi * (theta + sine * total) if odd else sine * total
    return 0.5 + both_sides / 2


def _density(t: float, freedom: int) -> float:
    log_scale = math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2) - 0.5 * math.log(freedom * math.pi)
    return math.exp(log_scale - (freedom + 1) / 2 * math.log1p(t * t / freedom))


def _expanded(z: float, freedom: int) -> float:
    """Abramowitz and Stegun 26.7.5: the quantile from the normal one, in powers of 1 / freedom."""
    g1 = (z**3 + z) / 4
    g2 = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    g3 = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    g4 = (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160
    return z + g1 / freedom + g2 / freedom**2 + g3 / freedom**3 + g4 / freedom**4
