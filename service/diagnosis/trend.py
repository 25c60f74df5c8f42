"""Trends under minibatch noise: smoothed curves, window means with errors, robust slopes."""

from dataclasses import dataclass

import numpy as np

from service.analysis.arrays import Mask, Steps, Values
from service.analysis.run_data import Series
from service.analysis.smooth import smooth
from service.diagnosis.run_record import RunRecord
from service.diagnosis.thresholds import limit

SMOOTHING = 0.9
PAIRED = 200  # most points of a slope, which looks at all pairs of them


def trend_window(record: RunRecord) -> int:
    """Return the steps that a trend is measured over: 20, or 5 % of a longer run."""
    return max(int(limit("any.window_steps")), round(limit("any.window_share") * record.plan.total_steps))


def smoothed(curve: Series) -> Values:
    """Return the bias-corrected moving average with weight 0.9."""
    return smooth(curve.values, SMOOTHING)


@dataclass(frozen=True)
class Mean:
    """The mean of the points of a window."""

    value: float
    error: float  # standard error, the points taken as independent
    first: int  # step
    last: int

    @property
    def steps(self) -> tuple[int, int]:
        """The first and last step."""
        return self.first, self.last


def mean(curve: Series) -> Mean | None:
    """Return the mean of all points of a curve; None where there are none."""
    if not len(curve):
        return None
    error = float(np.std(curve.values) / np.sqrt(len(curve)))
    return Mean(float(np.mean(curve.values)), error, int(curve.steps[0]), int(curve.steps[-1]))


def tail_mean(curve: Series, steps: int) -> Mean:
    """Return the mean over the last `steps` steps; at least the last point."""
    found = mean(curve.between(curve.steps[-1] - steps + 1, curve.steps[-1]))
    assert found is not None
    return found


def window_means(curve: Series, steps: int) -> list[Mean]:
    """Return the means of adjacent windows of `steps` steps, counted back from the last; oldest first, none empty."""
    last, found = int(curve.steps[-1]), []
    while last >= curve.steps[0]:
        found.append(mean(curve.between(last - steps + 1, last)))
        last -= steps
    return [each for each in reversed(found) if each is not None]


def theil_sen(x: Values, y: Values) -> float:
    """Return the median slope over all pairs of points (Theil 1950, Sen 1968), robust to 29 % of outliers."""
    first, second = np.triu_indices(len(x), 1)
    return float(np.median((y[second] - y[first]) / (x[second] - x[first])))


def log_slope(curve: Series, floor: float) -> float | None:
    """d log(loss - floor) / d step by Theil-Sen over the smoothed curve; None with fewer than 3 points above it."""
    values = smoothed(curve) - floor
    above = np.flatnonzero(values > 0)
    if len(above) < 3:
        return None
    chosen = above[np.unique(np.linspace(0, len(above) - 1, min(PAIRED, len(above))).astype(np.int64))]
    return theil_sen(curve.steps[chosen].astype(np.float64), np.log(values[chosen]))


def relative_change(curve: Series, steps: int, floor: float = 0.0) -> float | None:
    """Return the relative change of loss - floor over the last `steps` steps, by its slope; -0.1 is a tenth less."""
    part = curve.between(curve.steps[-1] - steps + 1, curve.steps[-1])
    slope = log_slope(part, floor)
    return None if slope is None else float(np.expm1(slope * (part.steps[-1] - part.steps[0])))


def median(curve: Series, steps: int | None = None) -> float:
    """Return the median of all points, or of the last `steps` steps."""
    part = curve if steps is None else curve.between(curve.steps[-1] - steps + 1, curve.steps[-1])
    return float(np.median(part.values))


def longest_stretch(held: Mask, steps: Steps) -> tuple[int, int] | None:
    """Return the first and last step of the longest stretch where `held` is true; None where it never is."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], held.astype(np.int8), [0]])))
    if not len(edges):
        return None
    starts, ends = edges[::2], edges[1::2] - 1
    best = int(np.argmax(steps[ends] - steps[starts]))
    return int(steps[starts[best]]), int(steps[ends[best]])
