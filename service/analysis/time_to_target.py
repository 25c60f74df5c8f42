"""Time to a target and AlgoPerf's scores (Dahl et al. 2023, arXiv 2306.07179, sections 4.1 and 4.4).

A target that was never reached has infinite time, which counts. Profiles depend on the contestants: adding or removing
one can reorder the others (Gould and Scott 2016), so answers always include the raw times.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from service.analysis.arrays import Values
from service.spec.measures import Direction

R_MAX = 4.0  # beyond this ratio a contestant earns nothing on a workload


@dataclass(frozen=True)
class Performance:
    """The scores of S contestants on W workloads."""

    times: list[list[float]]  # (S, W), as given
    ratios: list[list[float]]  # (S, W): 1 is the fastest; infinite where the target was not reached
    tau: list[float]  # where some profile changes, from 1 to R_MAX
    profiles: list[list[float]]  # (S, tau): share of the workloads on which the ratio is at most tau
    scores: list[float]  # the profiles' area over 1 to R_MAX, 0 to 1
    speedups: list[float | None]  # geometric mean over the workloads that both reached, against the reference
    reached: list[int]  # workloads


def first_reach(x: Values, y: Values, target: float, direction: Direction) -> float:
    """Return the first x at which the curve is as good as `target`, else infinity; NaN never is."""
    met = y <= target if direction == "min" else y >= target
    place = int(met.argmax()) if len(met) else 0
    return float(x[place]) if len(met) and met[place] else float("inf")


def study_time(studies: Sequence[Sequence[float]]) -> float:
    """Return the median over studies of the least time of their trials (equation 1 of the paper's tuning rules)."""
    if not studies or not all(studies):
        raise ValueError("there must be a study, and a trial in each.")
    return float(_median(np.array([min(trials) for trials in studies])))


def part_of_range(first: npt.ArrayLike, best: npt.ArrayLike, share: float, direction: Direction) -> float | None:
    """Return the target at `share` of the way from where curves begin to the best typical value.

    `first`: first values of all runs; `best`: each trial's median over seeds of its best value. The best trial's median
    counts, never the luckiest run.
    """
    start, ends = np.asarray(first, dtype=np.float64), np.asarray(best, dtype=np.float64)
    start, ends = start[np.isfinite(start)], ends[np.isfinite(ends)]
    if not len(start) or not len(ends):
        return None
    begin, end = float(np.median(start)), float(ends.min() if direction == "min" else ends.max())
    return begin + share * (end - begin)


def performance(times: npt.ArrayLike, reference: int = 0) -> Performance:
    """Return ratios, profiles and scores of times (S, W)."""
    t = np.asarray(times, dtype=np.float64)
    if t.ndim != 2 or not t.size or not (t >= 0).all():
        raise ValueError("times must be a table (contestants, workloads) of numbers from 0 on.")
    ratios = _ratios(t, t.min(axis=0))
    tau = np.unique(np.concatenate(([1.0, R_MAX], ratios[ratios <= R_MAX])))
    scores = np.maximum(0.0, R_MAX - ratios).mean(axis=1) / (R_MAX - 1)  # the integral in closed form
    return Performance(
        times=t.tolist(),
        ratios=ratios.tolist(),
        tau=tau.tolist(),
        profiles=[[float((row <= at).mean()) for at in tau] for row in ratios],
        scores=scores.tolist(),
        speedups=[_speedup(t[reference], row) for row in t],
        reached=np.isfinite(t).sum(axis=1).tolist(),
    )


def _ratios(t: Values, least: Values) -> Values:
    """Return ratios to the least time; infinite where the target was not reached, 1 for two times of 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(np.isinf(t), np.inf, np.where(t == least, 1.0, t / least))


def _speedup(reference: Values, row: Values) -> float | None:
    both = np.isfinite(reference) & np.isfinite(row) & (reference > 0) & (row > 0)
    return float(np.exp(np.log(reference[both] / row[both]).mean())) if both.any() else None


def _median(values: Values) -> float:
    """Return the median; infinite between a finite value and infinity."""
    ordered, n = np.sort(values), len(values)
    low, high = ordered[(n - 1) // 2], ordered[n // 2]
    return float(low if low == high else low / 2 + high / 2)
