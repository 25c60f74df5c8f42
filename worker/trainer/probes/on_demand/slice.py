"""The loss along one direction through the weights."""

from typing import Any

from worker.trainer.probes.directions import axis, direction_of
from worker.trainer.probes.measurement import Measurement, ProbedTraining, document, rounded
from worker.trainer.probes.model_copy import ModelCopy


class Slice:
    """Along the gradient, the next update, the curvature's ends, the way from the start, or a random direction.

    One line shows one line: a saddle looks like a minimum along most of them (Goodfellow et al. 2015, arXiv:1412.6544).
    Cost: a forward pass of 0.4 gradients a point, and what the direction costs.
    """

    def __init__(self, component: Any) -> None:
        self.rows: int = component.rows
        self.norms = component.batch_norm
        self.points: int = component.points
        self.word: str = component.direction
        self.reach: float | None = component.reach

    def measure(self, training: ProbedTraining) -> Measurement:
        """Distances, and the loss at each."""
        twin = ModelCopy(training, self.rows, self.norms)
        found = direction_of(self.word, training, twin, self.reach, seed=0)
        at = axis(found.first, found.last, self.points)
        losses = twin.along(found.vector, at)
        data = document(
            direction=self.word,
            unit=found.unit,
            at=rounded(at),
            losses=rounded(losses),
            loss=twin.value(),
            twin=twin.described(),
        )
        return Measurement({}, data)
