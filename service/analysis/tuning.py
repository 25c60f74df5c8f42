"""Tuning cost: the expected best of k trials, sensitivity to the learning rate, optima at the border."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from service.analysis.arrays import Values
from service.spec.measures import Direction

REACH = 31.6  # a decade and a half to each side of the best rate


@dataclass(frozen=True)
class Sensitivity:
    """The average loss of a rate that is not the best one."""

    best_lr: float
    value: float  # 0: no rate within reach is worse than the best
    rates: int  # trials within reach
    covered: float  # share of the reach that lies between the least and the greatest of them


def expected_best(values: npt.ArrayLike, direction: Direction = "min") -> list[float]:
    """Return the expected best of k = 1..n trials drawn without replacement (Sivaprasad et al. 2020, arXiv 1910.11758).

    A trial that is not finite counts as the worst finite one.
    It is the sum over i of x_(i) C(n - i, k - 1) / C(n, k), with each share computed from the one before.
    """
    x = np.asarray(values, dtype=np.float64)
    finite = np.isfinite(x)
    if not finite.any():
        return []
    sign = 1.0 if direction == "min" else -1.0
    x = sign * x
    ordered, n = np.sort(np.where(finite, x, x[finite].max())), len(x)
    return [sign * float(_shares(n, k) @ ordered[: n - k + 1]) for k in range(1, n + 1)]


def _shares(n: int, k: int) -> Values:
    """Return the probabilities that the i-th best of n trials is the best of k: k / n for the first."""
    i = np.arange(n - k)
    shares: Values = np.cumprod(np.append(k / n, (n - k - i) / (n - 1 - i)))
    return shares


def sensitivity(rates: Sequence[float], losses: Sequence[float], before: float) -> Sensitivity | None:
    """Return the mean over rates of min(loss, loss before training) minus the best loss.

    The measure of Wortsman et al. 2023 (arXiv 2309.14322). The mean is over the logarithm of the rate, within a factor
    `REACH` of the best one, by the trapezoid rule; `covered` is the share of that range that the trained rates span. A
    diverged trial loses as much as no training. None for fewer than three rates, or none that trains.
    """
    best_of: dict[float, list[float]] = {}
    for rate, loss in zip(rates, losses, strict=True):
        best_of.setdefault(rate, []).append(min(loss, before) if math.isfinite(loss) else before)
    known = sorted((rate, sum(found) / len(found)) for rate, found in best_of.items())
    if len(known) < 3 or not math.isfinite(before):
        return None
    best_lr, best = min(known, key=lambda each: each[1])
    near = [(math.log(rate), loss - best) for rate, loss in known if best_lr / REACH <= rate <= best_lr * REACH]
    if len(near) < 2:
        return None
    x, y = np.array(near).T
    width = float(x[-1] - x[0])
    return Sensitivity(best_lr, float(np.trapezoid(y, x)) / width, len(near), width / (2 * math.log(REACH)))


def at_border(tried: Sequence[float], best: float) -> bool:
    """Return whether the best of at least three values is the least or the greatest: the optimum may be beyond."""
    return len(set(tried)) > 2 and best in (min(tried), max(tried))
