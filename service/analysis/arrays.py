"""Array types of the analysis."""

import numpy as np
import numpy.typing as npt

Steps = npt.NDArray[np.int64]  # strictly increasing, >= 0
Values = npt.NDArray[np.float64]  # may hold NaN and the infinities
Counts = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


def series(steps: npt.ArrayLike, values: npt.ArrayLike) -> tuple[Steps, Values]:
    """Return steps and values as arrays; raise ValueError where they are not a series."""
    at, what = np.asarray(steps), np.asarray(values, dtype=np.float64)
    if at.ndim != 1 or at.shape != what.shape:
        raise ValueError(f"Steps {at.shape} and values {what.shape} must be one-dimensional and of equal length.")
    if at.size and at.dtype.kind not in "iu":
        raise ValueError(f"Steps must be integers; these are {at.dtype}.")
    at = at.astype(np.int64, copy=False)
    if at.size and (at[0] < 0 or not (at[1:] > at[:-1]).all()):
        raise ValueError("Steps must be >= 0 and strictly increasing.")
    return at, what


def mean_ranks(values: Values) -> Values:
    """Return the rank of each value, from 1; equal ones have the mean of theirs, and the infinities are values."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    means: Values = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    return means
