"""Bayesian optimisation on the unit cube: where a Gaussian process expects the greatest improvement.

Log expected improvement (Ament et al. 2023, arXiv:2310.20708) over Sobol candidates, then around the best of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service.analysis.arrays import Mask, Values, mean_ranks
from service.analysis.gaussian_process import Hyperparameters, condition, fit
from service.analysis.sobol import sobol_points

CANDIDATES, STARTS, NEIGHBOURS = 256, 4, 32
RADII = (0.1, 0.03, 0.01)  # of the local search, in unit intervals
MOST_POINTS = 96  # of the process, best and others: with more, LAPACK starts threads, which wait for busy cores


@dataclass(frozen=True)
class Axis:
    """An axis of the cube: positions that exist on it (none: all), and the option of another axis that it needs."""

    levels: tuple[float, ...] = ()
    unordered: bool = False  # the levels are options without an order
    parent: int | None = None  # an earlier axis
    option: int = 0  # of the parent's levels


@dataclass(frozen=True)
class Encoding:
    """The axes as columns of the process: a number as it is, an option as a column of its own."""

    axes: tuple[Axis, ...]

    @property
    def groups(self) -> NDArray[np.int64]:
        """The axis of each column."""
        widths = [len(axis.levels) if axis.unordered else 1 for axis in self.axes]
        return np.repeat(np.arange(len(self.axes)), widths)

    def snapped(self, units: Values) -> Values:
        """Return points (N, A) with each coordinate at the nearest position that exists."""
        found = units.copy()
        for at, axis in enumerate(self.axes):
            if axis.levels:
                levels = np.array(axis.levels)
                found[:, at] = levels[np.abs(units[:, at, None] - levels).argmin(1)]
        return found

    def columns(self, units: Values) -> Values:
        """Return snapped points (N, A) as columns (N, C); an axis whose option is not chosen stands in its middle."""
        active = self.active(units)
        made: list[Values] = []
        for at, axis in enumerate(self.axes):
            if axis.unordered:
                chosen = np.abs(units[:, at, None] - np.array(axis.levels)) < 1e-9
                made.append(np.where(active[:, at, None], chosen, 1 / len(axis.levels)) / np.sqrt(2))
            else:
                made.append(np.where(active[:, at], units[:, at], 0.5)[:, None])
        return np.concatenate(made, axis=1)

    def active(self, units: Values) -> Mask:
        """Return which coordinates of snapped points count (N, A)."""
        found = np.ones(units.shape, dtype=np.bool_)
        for at, axis in enumerate(self.axes):
            if axis.parent is not None:
                level = self.axes[axis.parent].levels[axis.option]
                found[:, at] = found[:, axis.parent] & (np.abs(units[:, axis.parent] - level) < 1e-9)
        return found


def chosen_points(losses: Values) -> NDArray[np.int64]:
    """Return which points the process is given, in order: all, or the best half and an even choice of the others."""
    if len(losses) <= MOST_POINTS:
        return np.arange(len(losses))
    order = np.argsort(losses, kind="stable")
    best, others = order[: MOST_POINTS // 2], np.sort(order[MOST_POINTS // 2 :])
    even = others[np.linspace(0, len(others) - 1, MOST_POINTS - len(best)).astype(int)]
    return np.sort(np.concatenate([best, even]))


def warped(losses: Values) -> Values:
    """Return losses with mean 0 and deviation 1, those worse than the median by their ranks only.

    A rate that is too high loses a million times as much as a good one; how much says nothing about where the best is
    (Google Vizier's half-rank warping, Song et al. 2024, arXiv:2408.11527). inf, a diverged trial, is the worst.
    """
    from scipy.special import ndtri  # noqa: PLC0415

    n = len(losses)
    ranks = (mean_ranks(losses) - 0.5) / n
    middle = np.sort(losses)[(n - 1) // 2]
    if not np.isfinite(middle):
        scores = ndtri(ranks)
    else:
        good = losses <= middle
        spread = np.sqrt(np.mean((losses[good] - middle) ** 2)) or 1.0
        scores = np.where(good, np.where(good, losses - middle, 0.0) / spread, ndtri(np.maximum(ranks, 0.5)))
    deviation = scores.std()
    standardised: Values = (scores - scores.mean()) / (deviation if deviation > 0 else 1.0)
    return standardised


def fitted(encoding: Encoding, units: Sequence[Sequence[float]], losses: Sequence[float]) -> Hyperparameters:
    """Return the hyperparameters for these points and losses."""
    y = np.array(losses)
    keep = chosen_points(y)
    return fit(encoding.columns(np.array(units)[keep]), warped(y)[keep], encoding.groups)


def propose(
    encoding: Encoding,
    units: Sequence[Sequence[float]],
    losses: Sequence[float],
    open_units: Sequence[Sequence[float]],
    found: Hyperparameters,
    seed: int,
) -> list[float]:
    """Return the point of the greatest expected improvement; open points count as if they gave what is expected.

    `units` (N, A) and `losses` (N,), lower is better, inf allowed; `open_units` (M, A).
    """
    y = np.array(losses)
    keep = chosen_points(y)
    x, y = encoding.columns(np.array(units)[keep]), warped(y)[keep]
    process = condition(x, y, encoding.groups, found)
    best = float(process.posterior(x)[0].min())
    if open_units:
        more = encoding.columns(np.array(open_units))
        x, y = np.concatenate([x, more]), np.concatenate([y, process.posterior(more)[0]])
        process = condition(x, y, encoding.groups, found)

    def value(points: Values) -> Values:
        mean, deviation = process.posterior(encoding.columns(points))
        return log_improvement((best - mean) / deviation) + np.log(deviation)

    generator = np.random.default_rng(seed)
    incumbents = np.array(units)[np.argsort(np.array(losses), kind="stable")[:STARTS]]
    drawn = sobol_points(len(encoding.axes), seed, CANDIDATES)
    points = np.concatenate([encoding.snapped(drawn), incumbents])
    values = value(points)
    for radius in RADII:
        starts = points[np.argsort(-values, kind="stable")[:STARTS]]
        moved = np.repeat(starts, NEIGHBOURS, axis=0)
        moves = generator.random(moved.shape) < max(0.5, 1 / moved.shape[1])
        moved = moved + np.where(moves, generator.normal(scale=radius, size=moved.shape), 0.0)
        moved = encoding.snapped(np.clip(moved, 0.0, 1.0))
        points, values = np.concatenate([starts, moved]), np.concatenate([value(starts), value(moved)])
    return [float(each) for each in points[values.argmax()]]


def log_improvement(z: Values) -> Values:
    """Return log(pdf(z) + z cdf(z)), also where it underflows: log EI of a standard normal."""
    from scipy.special import erfcx, log_ndtr  # noqa: PLC0415

    usual = np.maximum(z, -1.0)
    density = np.exp(-0.5 * usual**2) / np.sqrt(2 * np.pi)
    above = np.log(density + usual * np.exp(log_ndtr(usual)))
    low = np.minimum(z, -1.0)
    # 1 - |z| sqrt(pi / 2) erfcx(|z| / sqrt 2), which loses all its digits from z = -1e5 on, where it is 1 / z^2
    share = 1 + low * np.sqrt(np.pi / 2) * erfcx(-low / np.sqrt(2))
    share = np.where(low < -1e3, 1 / low**2, share)
    below = -0.5 * low**2 - 0.5 * np.log(2 * np.pi) + np.log(np.maximum(share, 1e-300))
    logarithms: Values = np.where(z > -1.0, above, below)
    return logarithms
