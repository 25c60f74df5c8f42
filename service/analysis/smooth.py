"""The exponential moving average of a series, without the bias of its start.

s_t = w s_{t-1} + (1 - w) x_t from s_0 = 0, shown as s_t / (1 - w^t): the correction of Adam (Kingma and Ba
2015, arXiv 1412.6980, section 3). t counts finite values only.
"""

import numpy as np
import numpy.typing as npt

from service.analysis.arrays import Values


def smooth(values: npt.ArrayLike, weight: float) -> Values:
    """Return the averages of values (N,); weight in [0, 1): 0 changes nothing, 0.99 averages over about 100 values.

    A non-finite value is skipped: its place shows the average so far (NaN before the first finite value).
    """
    if not 0 <= weight < 1:
        raise ValueError(f"weight must be at least 0 and below 1; it is {weight}.")
    what = np.asarray(values, dtype=np.float64)
    finite = np.isfinite(what)
    averages = _average(what[finite], weight)
    so_far = np.cumsum(finite)  # finite values up to each place
    return np.take(np.append(np.nan, averages), so_far)


def _average(x: Values, weight: float) -> Values:
    if weight == 0 or not len(x):
        return x
    total_weight = -np.expm1(np.arange(1, len(x) + 1) * np.log(weight))  # 1 - w^t
    with np.errstate(over="ignore"):
        corrected = _decayed_sum((1 - weight) * x, weight) / total_weight
    # rounding must not carry an average out of the range of its values
    clipped: Values = corrected.clip(np.minimum.accumulate(x), np.maximum.accumulate(x))
    return clipped


def _decayed_sum(x: Values, weight: float) -> Values:
    """Return the sums over j <= i of weight^(i-j) x_j, by doubling: about log2(n) passes over the array."""
    total, reach = x, 1
    while reach < len(x) and (decay := weight**reach) > 0:
        total = np.append(total[:reach], total[reach:] + decay * total[:-reach])
        reach *= 2
    return total
