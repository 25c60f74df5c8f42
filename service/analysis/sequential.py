"""A test of paired differences that may be looked at after every pair, and stopped or extended at will.

Two e-processes are kept, and a decision needs both. Each is a fair bet against "the mean difference is 0": its expected
value is at most 1 at every stopping time, so the chance that it ever reaches 100 is at most 1 % (Ville 1939). That is
the share of a confirmation's 5 % that is left beside the one test of its planned seeds, which has 4.

- The t process assumes normal differences of unknown variance: the Bayes factor of an effect size that is normal with
  mean 0 and sd `EFFECT` against none, with the right Haar prior on the scale (Lai 1976; Wang and Ramdas 2024,
  arXiv:2310.03722). It depends on the differences by their t statistic only, and gives the confidence sequence.
- The symmetric process assumes that differences are symmetric about their mean and nothing else: not their tails, nor
  that seeds vary alike. It holds where the two sides may be exchanged within a seed. Given the sizes so far, each sign
  is then a fair coin; it bets on it in proportion to the size over the greatest so far, a mixture over `BETS`.

Both err where differences are skewed and the mean is 0; `tests/benchmarks/verdicts/anytime.py` measures by how much.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from service.analysis.arrays import Values
from service.analysis.bootstrap import Interval
from service.analysis.power import EXTENDED_LEVEL, POWER
from service.analysis.significance import mean_and_deviation

EFFECT = 1.0  # sd of the effect sizes that the t process bets on, in standard deviations of the differences
BETS = tuple(sign * share for sign in (-1, 1) for share in (0.25, 0.5, 0.75, 1.0))
PATHS, MAX_MORE = 200, 200  # futures that are drawn, and further pairs in each


@dataclass(frozen=True)
class Sequential:
    """What n pairs say, in their order."""

    n: int
    mean: float | None
    interval: Interval | None  # of the mean, 99 % at every n at once; None: not bounded yet
    e: float  # the smaller of the two processes, now
    p: float  # 1 over the greatest that it has been, at most 1
    sign: int  # of the mean difference when p first was at most the level; 0: not decided
    more: int | None  # pairs that would decide it in 4 of 5 cases; None: decided, or no number up to MAX_MORE would


def sequential(given: Values | Sequence[float], level: float = EXTENDED_LEVEL) -> Sequential:
    """Return what differences (n,) say, in the order in which they count."""
    differences = np.asarray(given, dtype=np.float64)
    n = len(differences)
    if n == 0:
        return Sequential(0, None, None, 1.0, 1.0, 0, None)
    e = log_e(differences[None])[0]
    reached = np.flatnonzero(e >= -math.log(level))
    sign = int(np.sign(differences[: reached[0] + 1].mean())) if len(reached) else 0
    return Sequential(
        n=n,
        mean=float(differences.mean()),
        interval=confidence_sequence(differences, level),
        e=float(np.exp(min(e[-1], 700.0))),
        p=min(1.0, float(np.exp(-e.max()))),
        sign=sign,
        more=None if sign else _more_pairs(tuple(differences.tolist()), level),
    )


def log_e(differences: Values) -> Values:
    """Return the logarithm of the smaller e-process after each pair, of studies (R, n)."""
    smaller: Values = np.minimum(log_e_t(differences), log_e_symmetric(differences))
    return smaller


def log_e_t(differences: Values) -> Values:
    """Return the logarithm of the t process after each pair, of studies (R, n); 0 after the first."""
    scaled = differences / _scale(differences)
    n = np.arange(1, differences.shape[1] + 1)
    total, squares = scaled.cumsum(axis=1), (scaled**2).cumsum(axis=1)
    g = n * EFFECT**2
    explained = total**2 / n * g / (1 + g)
    with np.errstate(divide="ignore", invalid="ignore"):
        fit = np.where(squares > 0, -n / 2 * np.log1p(-np.minimum(explained / squares, 1.0)), 0.0)
    value: Values = np.where(squares > 0, fit - np.log1p(g) / 2, 0.0)
    return value


def log_e_symmetric(differences: Values) -> Values:
    """Return the logarithm of the symmetric process after each pair, of studies (R, n)."""
    size = np.abs(differences)
    greatest = np.maximum.accumulate(size, axis=1)
    share = differences / np.where(greatest > 0, greatest, 1.0)  # -1 to 1
    with np.errstate(divide="ignore"):  # a bet of everything can be lost
        wealth = [np.log1p(bet * share).cumsum(axis=1) for bet in BETS]
    mixed: Values = np.logaddexp.reduce(wealth, axis=0) - math.log(len(BETS))
    return mixed


def _scale(differences: Values) -> Values:
    """Return the greatest size of each study (R, 1), so that squares stay within floats."""
    greatest = np.abs(differences).max(axis=1, keepdims=True)
    scale: Values = np.where(greatest > 0, greatest, 1.0)
    return scale


def confidence_sequence(differences: Values, level: float = EXTENDED_LEVEL) -> Interval | None:
    """Return the means that the t process does not reject now; None where it does not bound them."""
    n = len(differences)
    g = n * EFFECT**2
    bound = math.exp((math.log1p(g) - 2 * math.log(level)) / n)
    if bound >= 1 + g:
        return None
    mean, sd = mean_and_deviation(differences)
    if sd == 0:
        return None  # equal differences, perhaps by rounding, prove no more than their sign
    spread = sd**2 * (n - 1) / n
    reach = math.sqrt(spread * (bound - 1) * (1 + g) / (1 + g - bound))
    return mean - reach, mean + reach


@lru_cache(maxsize=256)  # 20 ms, and whoever waits for runs asks again and again
def _more_pairs(given: tuple[float, ...], level: float) -> int | None:
    """Return the further pairs that decide it in `POWER` of drawn futures, with the mean and sd that were seen."""
    differences = np.array(given)
    n = len(differences)
    mean, sd = float(differences.mean()), float(differences.std(ddof=1)) if n > 1 else 0.0
    if n < 2 or mean == 0:
        return None
    drawn = np.random.default_rng(0).normal(mean, sd, (PATHS, MAX_MORE))  # the same answer each time
    futures = np.concatenate([np.broadcast_to(differences, (PATHS, n)), drawn], axis=1)
    told = (log_e(futures)[:, n:] >= -math.log(level)).cumsum(axis=1) > 0
    enough = np.flatnonzero(told.mean(axis=0) >= POWER)
    return int(enough[0]) + 1 if len(enough) else None
