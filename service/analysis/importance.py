"""How much of the differences between trials one dimension explains by itself."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from service.analysis.arrays import Values, mean_ranks

LEAST = 10  # trials
GROUPS = 5  # of equally many trials, of a dimension with more values


def explained_share(places: Sequence[float], losses: Sequence[float]) -> float | None:
    """Return omega squared of the losses' ranks by the groups of one dimension, from 0 to 1; None for too few trials.

    `places` are positions on the dimension, equal ones for the same option; more than `GROUPS` different ones are cut
    into groups of equally many trials. Ranks, because a rate that is too high loses a million times as much as a good
    one; omega squared (Hays 1963), because a share of the variance alone is above 0 for a dimension without any effect.
    It sees main effects only, and of a sampler that learns it sees the region that was searched. inf: diverged.
    """
    x, y = np.asarray(places, dtype=np.float64), mean_ranks(np.asarray(losses, dtype=np.float64))
    groups = _groups(x)
    sizes = np.bincount(groups)
    count, kinds = len(y), len(sizes)
    if count < LEAST or kinds < 2 or count <= kinds:
        return None
    means = np.bincount(groups, weights=y) / sizes
    total = float(((y - y.mean()) ** 2).sum())
    between = float((sizes * (means - y.mean()) ** 2).sum())
    within = (total - between) / (count - kinds)
    return max(0.0, (between - (kinds - 1) * within) / (total + within)) if total > 0 else 0.0


def _groups(x: Values) -> NDArray[np.int64]:
    """Return the group of each value, counted from 0 without gaps."""
    distinct, groups = np.unique(x, return_inverse=True)
    if len(distinct) > GROUPS:
        edges = np.quantile(x, np.arange(1, GROUPS) / GROUPS)
        _, groups = np.unique(np.searchsorted(edges, x, side="right"), return_inverse=True)
    return groups
