"""What a run had seen, computed or spent by each step: the x of a curve other than the step."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from service.analysis.arrays import Steps, Values


@dataclass(frozen=True)
class Segment:
    """Moments of one attempt at which both the step and the seconds are known; the first is its start."""

    steps: Sequence[int]
    seconds: Sequence[float]


def epochs(steps: Steps, steps_per_epoch: int) -> Values:
    """Epoch 1.0 is reached by the last step of the first epoch."""
    return np.asarray(steps / steps_per_epoch, dtype=np.float64)


def samples(steps: Steps, rows_per_step: int, rows_per_epoch: int) -> Values:
    """Training rows seen; the last batch of an epoch holds what is left."""
    steps_per_epoch = -(-rows_per_epoch // rows_per_step)
    within = np.minimum(steps % steps_per_epoch * rows_per_step, rows_per_epoch)
    return np.asarray(steps // steps_per_epoch * rows_per_epoch + within, dtype=np.float64)


def gradient_evaluations(steps: Steps, counted: tuple[Steps, Values] | None) -> Values:
    """Gradients of a batch computed so far: one a step, or what an optimizer that searches counted itself."""
    if counted is None or not len(counted[0]):
        return steps.astype(np.float64)
    at, total = counted
    return np.asarray(np.interp(steps, np.append(0, at), np.append(0.0, total)), dtype=np.float64)


def seconds(steps: Steps, segments: Sequence[Segment]) -> Values:
    """Seconds passed by each step: exact at the moments that are known, in proportion to the steps between them."""
    found = np.zeros(len(steps))
    for segment in segments:
        mine = steps > segment.steps[0]  # a later attempt takes over what lies behind its start
        found[mine] = np.interp(steps[mine], segment.steps, segment.seconds)
    return np.maximum.accumulate(found) if len(found) else found
