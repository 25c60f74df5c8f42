"""How many more seeds would tell two groups apart."""

import math

from service.analysis.t_distribution import t_quantile

LEVEL = 0.05  # two-sided
FINEST = 1e-8
POWER = 0.8  # how often the test then finds the difference, if it is the one seen so far
MOST = 1000  # seeds an experiment may have
FRESH = (5, 20)  # seeds suggested for a confirmation, at least and at most


def more_seeds(difference: float, sd: float, n: int, level: float = LEVEL) -> int | None:
    """Pairs beyond the n there are, for a paired t test of `difference` with standard deviation `sd`.

    The usual normal-theory size, with t quantiles in place of normal ones; None where `MOST` would not do. It is asked
    where the pairs there are did not tell, so 0 is never the answer. Equal differences are held to the sign test.
    """
    if difference == 0 or not math.isfinite(difference) or not math.isfinite(sd):
        return None
    if sd == 0:
        return max(math.floor(1 - math.log2(level)) + 1 - n, 1)  # the least size with 2^(1 - size) < level
    ratio = sd / abs(difference)

    def enough(size: int) -> bool:
        quantiles = t_quantile(1 - max(level, FINEST) / 2, size - 1) + t_quantile(POWER, size - 1)
        return math.sqrt(size) >= quantiles * ratio

    low, high = max(n, 1), MOST
    if not enough(high):
        return None
    while high - low > 1:  # the need falls as seeds are added
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return max(high - n, 1)


def fresh_seeds(difference: float | None, sd: float | None) -> int:
    """Seeds for two trials to be trained anew, so that the difference seen would be told: within `FRESH`.

    A difference that was chosen for its size is smaller in truth, so that fewer than five seeds are never suggested.
    """
    low, high = FRESH
    if difference is None or sd is None:
        return low
    return min(max(more_seeds(difference, sd, 0) or high, low), high)
