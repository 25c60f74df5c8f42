"""The number of seeds needed to show a difference between two groups."""

import math

from service.analysis.t_distribution import t_quantile

LEVEL = 0.05  # two-sided
PLANNED_LEVEL, EXTENDED_LEVEL = 0.04, 0.01  # parts of it: of a confirmation's planned seeds, and of looking at others
FINEST = 1e-8
POWER = 0.8  # probability that the test then finds the difference, if it is the observed one
MAX_SEEDS = 1000  # seeds an experiment may have
FRESH_SEEDS = (5, 20)  # fewest and most seeds suggested for a confirmation


def more_seeds(difference: float, sd: float, n: int, level: float = LEVEL, overlap: float = 0.0) -> int | None:
    """Return the pairs needed beyond n, for a paired t test of `difference` with standard deviation `sd`.

    The normal-theory size, with t quantiles in place of normal ones; None where `MAX_SEEDS` are not enough. At least 1,
    because n pairs were not enough. Equal differences use the sign test. `overlap`: of folds (see `significance`).
    """
    if difference == 0 or not math.isfinite(difference) or not math.isfinite(sd):
        return None
    if sd == 0:
        least = math.floor(1 - math.log2(level)) + 1  # the least size with 2^(1 - size) < level
        if least * overlap >= 1:
            return None
        return max(math.ceil(least / (1 - least * overlap)) - n, 1)
    ratio = sd / abs(difference)

    def enough(size: int) -> bool:
        quantiles = t_quantile(1 - max(level, FINEST) / 2, size - 1) + t_quantile(POWER, size - 1)
        return math.sqrt(size / (1 + size * overlap)) >= quantiles * ratio

    low, high = max(n, 1), MAX_SEEDS
    if not enough(high):
        return None
    while high - low > 1:  # `enough` is monotonic
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return max(high - n, 1)


def fresh_seeds(difference: float | None, sd: float | None, overlap: float = 0.0) -> int:
    """Return how many fresh seeds would show the observed difference, within `FRESH_SEEDS`.

    A difference that was selected for its size is smaller in truth, so at least five seeds are suggested.
    """
    low, high = FRESH_SEEDS
    if difference is None or sd is None:
        return low
    return min(max(more_seeds(difference, sd, 0, overlap=overlap) or high, low), high)
