"""Axes other than the step: epochs, samples, gradient evaluations and seconds at each step."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from service.analysis.arrays import Steps, Values


@dataclass(frozen=True)
class Segment:
    """Points of one attempt at which both the step and the seconds are known; the first is its start."""

    steps: Sequence[int]
    seconds: Sequence[float]


def epochs(steps: Steps, steps_per_epoch: int) -> Values:
    """Return epochs at each step; 1.0 at the last step of the first epoch."""
    return np.asarray(steps / steps_per_epoch, dtype=np.float64)


def samples(steps: Steps, rows_per_step: int, rows_per_epoch: int) -> Values:
    """Return training rows seen at each step; the last batch of an epoch may be smaller."""
    steps_per_epoch = -(-rows_per_epoch // rows_per_step)
    within = np.minimum(steps % steps_per_epoch * rows_per_step, rows_per_epoch)
    return np.asarray(steps // steps_per_epoch * rows_per_epoch + within, dtype=np.float64)


def gradient_evaluations(steps: Steps, counted: tuple[Steps, Values] | None) -> Values:
    """Return the batch gradients computed at each step: one per step, or as the optimizer counted them."""
    if counted is None or not len(counted[0]):
        return steps.astype(np.float64)
    at, total = counted
    return np.asarray(np.interp(steps, np.append(0, at), np.append(0.0, total)), dtype=np.float64)


def seconds(steps: Steps, segments: Sequence[Segment]) -> Values:
    """Return the seconds at each step: exact at the known points, and interpolated linearly between them."""
    found = np.zeros(len(steps))
    for segment in segments:
        mine = steps > segment.steps[0]  # a later attempt replaces what follows its start
        found[mine] = np.interp(steps[mine], segment.steps, segment.seconds)
    return np.maximum.accumulate(found) if len(found) else found


def known_seconds(segments: Sequence[Segment]) -> tuple[list[int], list[float]]:
    """Return the steps at which the seconds are known, with the first one of each later attempt, and the seconds."""
    known = [step for segment in segments for step in segment.steps]
    steps = np.unique(np.array([*known, *(segment.steps[0] + 1 for segment in segments[1:])], dtype=np.int64))
    return steps.tolist(), seconds(steps, segments).tolist()


def spread(last: int, points: int = 1025) -> Steps:
    """Return at most `points` steps from 0 to `last`, evenly spaced."""
    return np.unique(np.linspace(0, last, points).astype(np.int64))


def steps_within(steps: Steps, x: Values, low: float, high: float) -> tuple[int, int]:
    """Return the steps beside the window low..high of the axis whose values at `steps` are `x`."""
    first, end = int(np.searchsorted(x, low)) - 1, int(np.searchsorted(x, high, side="right"))
    return int(steps[max(first, 0)]), int(steps[min(end, len(steps) - 1)])
