"""Several runs' curves on one axis.

Steps are what is stored; every other axis is a function of the step that is known for the run (its steps
per epoch; later its batch size or its wall time). Resampling invents nothing: a grid point takes the last
value at or before it, and a run is absent before its first point and after its last one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from service.analysis.arrays import Mask, Values, series

Axis = Literal["step", "epoch"]


@dataclass(frozen=True, eq=False)
class Curve:
    """One run's series on an axis: x (N,) finite and not decreasing, y (N,) anything."""

    x: Values
    y: Values

    def __post_init__(self) -> None:
        if self.x.ndim != 1 or self.x.shape != self.y.shape:
            raise ValueError(f"x {self.x.shape} and y {self.y.shape} must be two lists of one length.")
        if not (np.isfinite(self.x).all() and (self.x[1:] >= self.x[:-1]).all()):
            raise ValueError("x must be finite and never decrease; this one is not.")


@dataclass(frozen=True, eq=False)
class Aligned:
    """R curves on one grid of G points; y is NaN where a curve is absent, or diverged: see `present`."""

    x: Values  # (G,)
    y: Values  # (R, G)
    present: Mask  # (R, G)


def curve(
    steps: npt.ArrayLike, values: npt.ArrayLike, axis: Axis = "step", steps_per_epoch: float | None = None
) -> Curve:
    """A series on `axis`; epoch 1.0 is reached by the last step of the first epoch."""
    at, y = series(steps, values)
    if axis == "step":
        return Curve(at.astype(np.float64), y)
    if steps_per_epoch is None or not 0 < steps_per_epoch < np.inf:
        raise ValueError(f"The axis epoch needs steps_per_epoch > 0; it is {steps_per_epoch}.")
    return Curve(at / steps_per_epoch, y)


def resample(curves: Sequence[Curve], points: int) -> Aligned:
    """All curves on one grid: every x there is, if at most `points`; else `points` evenly spaced."""
    if points < 2:
        raise ValueError(f"points must be at least 2, for the two ends of the grid; it is {points}.")
    x = _grid(curves, points)
    y = np.full((len(curves), len(x)), np.nan)
    present = np.zeros((len(curves), len(x)), dtype=np.bool_)
    for row, each in enumerate(curves):
        if not len(each.x):
            continue
        present[row] = (x >= each.x[0]) & (x <= each.x[-1])
        at = np.searchsorted(each.x, x[present[row]], side="right") - 1
        y[row, present[row]] = each.y[at]
    return Aligned(x, y, present)


def _grid(curves: Sequence[Curve], points: int) -> Values:
    filled = [each.x for each in curves if len(each.x)]
    if not filled:
        return np.empty(0)
    if all(len(x) <= points or len(np.unique(x)) <= points for x in filled):
        exact = np.unique(np.concatenate(filled))
        if len(exact) <= points:
            return exact
    return np.linspace(min(x[0] for x in filled), max(x[-1] for x in filled), points)
