"""Compare a replay with its run bit by bit; where they differ, find the first step and the likely cause."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

VERSION = "3"  # raise it with every change of the comparison: stored verdicts of other versions are void
Environment = Mapping[str, Any]
CAUSES = {  # environment entries that can change the last bit, the likeliest first
    "device_name": "another device computes in another order",
    "device": "another device computes in another order",
    "threads": "another count of CPU threads sums in another order",
    "torch": "another release of torch may compute in another order",
    "cuda": "another release of CUDA may compute in another order",
    "packages": "another release of a package may train or read data differently",
    "numpy": "another release of numpy may generate other data",
    "optimizer": "another implementation of the optimizer rounds differently",
    "determinism": "one of the two allowed operations with nondeterministic order",
    "deterministic": "one of the two allowed operations with nondeterministic order",
    "cudnn_benchmark": "one of the two chose algorithms by measuring their speed",
    "fp32_products": "products of fp32 numbers were computed in another precision",
    "float32_matmul_precision": "matrices were multiplied in another precision",
    "saddle": "another release of Saddle may have changed the numbers",
    "python": "another release of Python may read the spec's numbers differently",
}


class Points(Protocol):
    """A series: values (N,) at rising steps (N,)."""

    @property
    def steps(self) -> npt.NDArray[np.int64]:
        """Updates."""

    @property
    def values(self) -> npt.NDArray[np.float64]:
        """What was recorded, exactly."""


@dataclass(frozen=True)
class FirstDifference:
    """The first step at which a series differs; None where there is no value at that step."""

    series: str
    step: int
    was: float | None
    now: float | None


@dataclass(frozen=True)
class ReplayVerdict:
    """`identical` is None while there is nothing to compare; `cause` is given where they differ."""

    identical: bool | None
    compared_steps: int
    first_difference: FirstDifference | None = None
    cause: str | None = None


def compare(
    was: Mapping[str, Points], now: Mapping[str, Points], was_on: Environment | None, now_on: Environment | None
) -> ReplayVerdict:
    """Compare each series that both runs have, over their common steps; a NaN equals the same NaN."""
    found: list[FirstDifference] = []
    compared = 0
    for name in sorted(was.keys() & now.keys()):
        steps, difference = _compared(name, was[name], now[name])
        compared = max(compared, steps)
        if difference is not None:
            found.append(difference)
    if found:
        first = min(found, key=lambda each: (each.step, each.series != "loss"))
        packed = _packed(was_on, now_on)
        if packed and "loss" in was and "loss" in now:
            packed += f" The losses differ by at most {_distance(was['loss'], now['loss']):.1g} of the largest one."
        return ReplayVerdict(False, compared, first, packed or cause(was_on, now_on))
    return ReplayVerdict(True if compared else None, compared)


def _compared(name: str, was: Points, now: Points) -> tuple[int, FirstDifference | None]:
    """Return the number of compared steps, and the first difference."""
    if not len(was.steps) or not len(now.steps):
        return 0, None
    low, high = max(was.steps[0], now.steps[0]), min(was.steps[-1], now.steps[-1])
    if low > high:
        return 0, None
    (steps, values), (others, again) = (_within(each, low, high) for each in (was, now))
    together = np.union1d(steps, others)
    before, after = _at(together, steps, values), _at(together, others, again)
    there, here = np.isin(together, steps), np.isin(together, others)
    differs = np.flatnonzero((before.view(np.int64) != after.view(np.int64)) | (there != here))
    if not len(differs):
        return len(together), None
    at = int(differs[0])
    value = float(before[at]) if there[at] else None
    return len(together), FirstDifference(name, int(together[at]), value, float(after[at]) if here[at] else None)


def _packed(was_on: Environment | None, now_on: Environment | None) -> str:
    """Return how many runs each of the two was trained with, where that differs; else nothing."""
    was, now = ((on or {}).get("pack", {}).get("runs", 1) for on in (was_on, now_on))
    if was == now:
        return ""
    before, after = ("alone" if runs == 1 else f"in a pack of {runs} runs" for runs in (was, now))
    return (
        f'It was trained {before} and is trained {after}, which adds in another order; "pack": "never" keeps all bits.'
    )


def _distance(was: Points, now: Points) -> float:
    """Return the largest difference at a common step, over the largest value; of finite values."""
    _, at, again = np.intersect1d(was.steps, now.steps, return_indices=True)
    before, after = np.asarray(was.values, np.float64)[at], np.asarray(now.values, np.float64)[again]
    finite = np.isfinite(before) & np.isfinite(after)
    largest = np.abs(before[finite]).max(initial=0.0)
    return float(np.abs(before - after)[finite].max(initial=0.0) / largest) if largest else 0.0


def _within(points: Points, low: int, high: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    chosen = slice(np.searchsorted(points.steps, low, "left"), np.searchsorted(points.steps, high, "right"))
    return points.steps[chosen], np.asarray(points.values[chosen], np.float64)


def _at(
    grid: npt.NDArray[np.int64], steps: npt.NDArray[np.int64], values: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Return the values on the grid, 0 where there is none."""
    placed = np.zeros(len(grid))
    placed[np.searchsorted(grid, steps)] = values
    return placed


def cause(was_on: Environment | None, now_on: Environment | None) -> str:
    """Return the likeliest cause, from the two environments."""
    if was_on is None or now_on is None:
        return "Unknown: the environment of one of the two was not recorded."
    differing = list(_differing(was_on, now_on))
    if not differing:
        if (word := was_on.get("determinism", "strict")) != "strict":
            return f"determinism is {word}: kernels that add in no fixed order may differ from run to run."
        return "Unknown: device, thread count and versions are the same."
    name = differing[0]
    others = f" Also different: {', '.join(differing[1:])}." if differing[1:] else ""
    return f"{name} was {was_on[name]} and is {now_on[name]}: {CAUSES[name]}.{others}"


def _differing(was_on: Environment, now_on: Environment) -> Iterator[str]:
    for name in CAUSES:
        if name in was_on and name in now_on and was_on[name] != now_on[name]:
            yield name
