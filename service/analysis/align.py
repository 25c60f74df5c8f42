"""Resample several runs' curves to one grid.

Nothing is interpolated: a grid point takes the last value at or before it, and a run is absent before its first point
and after its last one.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from service.analysis.arrays import Mask, Values


@dataclass(frozen=True, eq=False)
class Curve:
    """A run's series on an axis: x (N,) finite and not decreasing, y (N,) anything."""

    x: Values
    y: Values

    def __post_init__(self) -> None:
        if self.x.ndim != 1 or self.x.shape != self.y.shape:
            raise ValueError(f"x {self.x.shape} and y {self.y.shape} must be one-dimensional and of equal length.")
        if not (np.isfinite(self.x).all() and (self.x[1:] >= self.x[:-1]).all()):
            raise ValueError("x must be finite and must not decrease.")

    def within(self, window: tuple[float, float] | None) -> "Curve":
        """Return the part in the window, with one point more on each side so that its line reaches the edges."""
        if window is None:
            return self
        first = max(int(np.searchsorted(self.x, window[0])) - 1, 0)
        end = int(np.searchsorted(self.x, window[1], side="right")) + 1
        return Curve(self.x[first:end], self.y[first:end])


@dataclass(frozen=True, eq=False)
class Aligned:
    """R curves on a grid of G points; y is NaN where a curve is absent or diverged, which `present` tells apart."""

    x: Values  # (G,)
    y: Values  # (R, G)
    present: Mask  # (R, G)


def resample(curves: Sequence[Curve], points: int) -> Aligned:
    """Put all curves on one grid: every x that occurs if there are at most `points`, else `points` evenly spaced."""
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
