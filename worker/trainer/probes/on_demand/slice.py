"""The loss along one direction through the weights."""

from service.spec.probes import on_demand
from worker.trainer.probes.directions import axis, direction_of, own_direction
from worker.trainer.probes.measurement import Instrument, Measurement, ProbedTraining, as_json, rounded
from worker.trainer.probes.model_copy import ModelCopy


class Slice(Instrument[on_demand.Slice]):
    """The loss along the gradient, the next update, extreme curvature, the first weights, or a random or own direction.

    A saddle looks like a minimum along most lines (Goodfellow et al. 2015, arXiv:1412.6544).
    Cost: a forward pass of 0.4 gradients per point, and what the direction costs.
    """

    def measure(self, training: ProbedTraining) -> Measurement:
        """Return distances and the loss at each."""
        copy = ModelCopy.of(training, self.component)
        if self.component.along is not None:
            found = own_direction(copy, self.component.along, self.component.reach)
        else:
            found = direction_of(self.component.direction, training, copy, self.component.reach)
        at = list(self.component.at or axis(found.first, found.last, self.component.points))
        losses = copy.along(found.vector, at)
        data = as_json(
            direction=self.component.direction if self.component.along is None else "own",
            unit=found.unit,
            at=rounded(at),
            losses=rounded(losses),
            loss=copy.value(),
            twin=copy.describe(),
        )
        return Measurement({}, data)
