"""The loss on a plane through the weights (Li et al. 2018, arXiv:1712.09913)."""

from service.spec.probes import on_demand
from worker.trainer.probes.directions import axis, ends_of, filter_normalised, grid, own_direction
from worker.trainer.probes.measurement import Instrument, Measurement, ProbedTraining, as_json, rounded
from worker.trainer.probes.model_copy import ModelCopy
from worker.trainer.probes.saddle_escape import weight_scale


class Plane(Instrument[on_demand.Plane]):
    """A plane of two filter-normalised random directions, of the Hessian's two extreme eigenvectors, or of own ones.

    A plane can show valleys that the whole space does not have, and hide ones that it has. Cost: points^2 forward
    passes of 0.4 gradients; with eigenvectors also up to 100 products.
    """

    def measure(self, training: ProbedTraining) -> Measurement:
        """Return both axes and the losses, a row per point of the second axis."""
        copy = ModelCopy.of(training, self.component)
        if self.component.along is not None:
            across, up = (own_direction(copy, vector).vector for vector in self.component.along)
            unit = "the given directions"
        elif self.component.directions == "random":
            across, up = (filter_normalised(copy, 2 * self.component.chance + i) for i in range(2))
            unit = "the length of each filter"
        else:
            low, high = ends_of(copy)
            across, up, unit = weight_scale(copy) * high, weight_scale(copy) * low, "the length of all weights"
        at = axis(-self.component.reach, self.component.reach, self.component.points)
        xs, ys = list(self.component.x or at), list(self.component.y or at)
        losses = grid(copy, copy.theta(), across, up, xs, ys)
        cosine = float(across @ up / (across.norm() * up.norm()).clamp(min=1e-300))
        data = as_json(
            directions=self.component.directions if self.component.along is None else "own",
            unit=unit,
            x=rounded(xs),
            y=rounded(ys),
            losses=losses,
            loss=copy.value(),
            cosine=cosine,
            twin=copy.describe(),
        )
        return Measurement({}, data)
