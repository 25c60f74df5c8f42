"""What restarts from other seeds say: the best, the middle, how far they spread, and what k of them would give."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from service.spec.measures import Direction


@dataclass(frozen=True)
class Restarts:
    """Of one final value a run; None where no value is finite."""

    n: int  # finite values
    diverged: int  # the others
    best: float | None
    median: float | None
    quartiles: tuple[float, float] | None  # linear between neighbours, as numpy's default
    expected_best: tuple[float, ...]  # at k - 1: of k runs drawn from these n, without repetition


def restarts(values: Sequence[float], direction: Direction = "min") -> Restarts:
    """Return the figures of the finite values; the others are counted."""
    finite = [value for value in values if math.isfinite(value)]
    if not finite:
        return Restarts(0, len(values), None, None, None, ())
    low, median, high = (float(each) for each in np.quantile(finite, (0.25, 0.5, 0.75)))
    sign = 1 if direction == "min" else -1
    ordered = sorted(sign * value for value in finite)
    best_of = tuple(sign * expected_best(ordered, k) for k in range(1, len(ordered) + 1))
    return Restarts(len(finite), len(values) - len(finite), sign * ordered[0], median, (low, high), best_of)


def expected_best(ordered: Sequence[float], k: int) -> float:
    """The mean of the least of k out of n values x_1 <= ... <= x_n: sum of x_i C(n-i, k-1) / C(n, k)."""
    n = len(ordered)
    ways = math.comb(n, k)
    return math.fsum(x * (math.comb(n - i, k - 1) / ways) for i, x in enumerate(ordered[: n - k + 1], 1))
