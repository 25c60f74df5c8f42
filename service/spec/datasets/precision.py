"""Whether float32, in which models compute, resolves the values of a column."""

import math

MANTISSA = 23  # bits after the leading one
MIN_SPACINGS = 1024  # rounding then moves a value by at most 0.05 % of the column's standard deviation


def is_coarse(std: float | None, low: float | None, high: float | None) -> bool:
    """Return whether a varying column spans fewer than `MIN_SPACINGS` float32 spacings at its magnitude."""
    if not std or low is None or high is None:
        return False
    largest = max(abs(low), abs(high))
    return std < MIN_SPACINGS * 2.0 ** (math.frexp(largest)[1] - 1 - MANTISSA)
