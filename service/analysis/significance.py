"""Significance tests, and their corrections for multiple tests and for folds.

The paired t test, Fisher's exact test of two counts, and Holm's correction (Holm 1979, Scand. J. Statist. 6, 65-70): as
strict as Bonferroni on the first test, less on the others, and valid however the tests depend on each other.

Runs on folds of one dataset share most of their training rows, so their values vary less than those on fresh data
would, and a plain t test finds differences that are none. `overlap` is n_validation / n_training = 1 / (folds - 1), and
the variance of a mean of n values then counts as s2 (1/n + overlap) instead of s2 / n (Nadeau and Bengio 2003, Machine
Learning 52, 239-281); it is 0 for runs that differ in their seeds only.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from service.analysis.arrays import Mask, Values
from service.analysis.t_distribution import t_both_tails, t_quantile

ROUNDING = 1e-14  # relative spread that counts as rounding


def overlap_of(folds: int) -> float:
    """Return validation rows over training rows of each fold; 0 without folds."""
    return 1 / (folds - 1) if folds > 1 else 0.0


def mean_and_deviation(values: Values) -> tuple[float, float]:
    """Return mean and standard deviation (with n - 1) of finite values (n,), n >= 2; 0 where it is only rounding."""
    mean, sd = float(values.mean()), float(values.std(ddof=1))
    return mean, 0.0 if sd <= ROUNDING * float(np.abs(values).max()) else sd


def t_tests(x: Values, there: Mask, overlap: float | Values = 0.0) -> list[float | None]:
    """Return the two-sided p of a zero mean for each row of x (R, N), where `there`; x is 0 elsewhere.

    None below two values. Rounded values (accuracies) may all be equal by chance: without spread the sign test is used.
    `overlap`: of the folds, for all rows or for each (R,).
    """
    n = there.sum(axis=1)
    effective = n / (1 + n * overlap)
    mean = x.sum(axis=1) / np.maximum(n, 1)
    sd = np.sqrt((np.where(there, x - mean[:, None], 0.0) ** 2).sum(axis=1) / np.maximum(n - 1, 1))
    sd = np.where(sd <= ROUNDING * np.abs(x).max(axis=1, initial=0.0), 0.0, sd)
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.where(mean == 0, 0.0, mean / (sd / np.sqrt(effective)))
    p = np.zeros(len(n))
    for freedom in {count - 1 for count in n.tolist() if count > 1}:
        rows = n == freedom + 1
        p[rows] = t_both_tails(t[rows], freedom)
    p = np.where((sd == 0) & (mean != 0), np.minimum(2.0 ** (1 - effective), 1.0), p)
    return [None if count < 2 else each for each, count in zip(p.tolist(), n.tolist(), strict=True)]


class OneSided(NamedTuple):
    """A one-sided test of a mean."""

    p: float  # of a mean that is not better
    bound: float  # one-sided 95 % confidence bound of the mean, on the side of the reference


def better_than(values: Sequence[float], reference: float, sign: int, overlap: float = 0.0) -> OneSided | None:
    """Test whether the mean of the finite values is better than `reference`; `sign` 1: higher is better, -1: lower.

    The one-sided t test; None below two finite values. Without spread the sign test is used. `overlap`: of folds.
    """
    finite = np.array([value for value in values if math.isfinite(value)], dtype=np.float64)
    n = len(finite)
    if n < 2:
        return None
    (both,) = t_tests((finite - reference)[None], np.ones((1, n), np.bool_), overlap)
    assert both is not None
    mean, sd = mean_and_deviation(finite)
    half = t_quantile(0.95, n - 1) * sd * math.sqrt(1 / n + overlap)
    return OneSided(both / 2 if sign * (mean - reference) > 0 else 1 - both / 2, mean - sign * half)


def fisher(a: int, of_a: int, b: int, of_b: int) -> float:
    """Return the two-sided p of `a` of `of_a` against `b` of `of_b` (Fisher 1935): the chance of as uneven a split."""
    both, everyone = a + b, of_a + of_b
    ways = [math.comb(of_a, k) * math.comb(of_b, both - k) for k in range(both + 1)]  # whole numbers: no rounding
    return sum(each for each in ways if each <= ways[a]) / math.comb(everyone, both)


def holm(p: Sequence[float]) -> list[float]:
    """Return the adjusted p values of a family of tests, in the same order."""
    order = np.argsort(np.asarray(p, dtype=np.float64), kind="stable")
    left = len(p) - np.arange(len(p))  # tests that are not decided yet
    adjusted = np.empty(len(p))
    adjusted[order] = np.maximum.accumulate(np.minimum(1.0, np.asarray(p)[order] * left))
    return list(adjusted.tolist())
