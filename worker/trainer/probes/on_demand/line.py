"""The loss on the straight line between two sets of weights (Frankle et al. 2020, arXiv:1912.05671, section 2)."""

import math
from typing import Any, ClassVar

from worker.trainer.probes.directions import axis
from worker.trainer.probes.measurement import Measurement, ProbedTraining, document, not_applicable, rounded
from worker.trainer.probes.model_copy import ModelCopy
from worker.trainer.probes.on_demand.trajectory import Weights, vector_of


class Line:
    """From these weights to another run's, or to where the run began.

    The barrier is how far the line rises above its higher end: 0 where both lie in one valley. Permuting the hidden
    units of one changes nothing of what it computes and everything of the line. Cost: 0.4 gradients a point.
    """

    needs: ClassVar[str] = "other"  # the model's part of that run's checkpoint, where the component names a run

    def __init__(self, component: Any, other: Weights | None = None) -> None:
        self.rows: int = component.rows
        self.norms = component.batch_norm
        self.points: int = component.points
        self.run: str | None = component.run
        self.other = other

    def measure(self, training: ProbedTraining) -> Measurement:
        """The losses from 0 (here) to 1 (there), and the barrier."""
        twin = ModelCopy(training, self.rows, self.norms)
        if self.run is not None and self.other is None:
            return not_applicable("the other run has no checkpoint that is kept")
        try:
            there = twin.initial() if self.other is None else vector_of(self.other, twin)
        except (KeyError, ValueError) as error:
            return not_applicable(f"the other run has another model: {error}")
        way, at = there - twin.theta(), axis(0.0, 1.0, self.points)
        losses = twin.along(way, at)
        barrier = max(losses) - max(losses[0], losses[-1]) if all(map(math.isfinite, losses)) else math.inf
        data = document(
            to=self.run or "the beginning",
            at=rounded(at),
            losses=rounded(losses),
            barrier=barrier,
            distance=float(way.norm()),
            twin=twin.described(),
        )
        return Measurement({"line/barrier": barrier}, data)
