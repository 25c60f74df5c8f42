"""The loss on a plane through the weights (Li et al. 2018, arXiv:1712.09913)."""

from typing import Any

from worker.trainer.probes.directions import axis, ends_of, filter_normalised, grid
from worker.trainer.probes.measurement import Measurement, ProbedTraining, document, rounded
from worker.trainer.probes.model_copy import ModelCopy
from worker.trainer.probes.saddle_escape import weight_scale


class Plane:
    """Spanned by two filter-normalised random directions, or by the Hessian's two extreme eigenvectors.

    A plane can show valleys that the whole space does not have, and hide those it has. Cost: points^2 forward passes of
    0.4 gradients; with eigenvectors up to 100 products more.
    """

    def __init__(self, component: Any) -> None:
        self.rows: int = component.rows
        self.norms = component.batch_norm
        self.points: int = component.points
        self.directions: str = component.directions
        self.reach: float = component.reach
        self.chance: int = component.chance

    def measure(self, training: ProbedTraining) -> Measurement:
        """Both axes, and the losses, a row for each place on the second."""
        twin = ModelCopy(training, self.rows, self.norms)
        if self.directions == "random":
            across, up = (filter_normalised(twin, 2 * self.chance + i) for i in range(2))
            unit = "the length of each filter"
        else:
            low, high, _ = ends_of(twin)
            across, up, unit = weight_scale(twin) * high, weight_scale(twin) * low, "the length of all weights"
        at = axis(-self.reach, self.reach, self.points)
        losses = grid(twin, twin.theta(), across, up, at, at)
        cosine = float(across @ up / (across.norm() * up.norm()).clamp(min=1e-300))
        data = document(
            directions=self.directions,
            unit=unit,
            x=rounded(at),
            y=rounded(at),
            losses=losses,
            loss=twin.value(),
            cosine=cosine,
            twin=twin.described(),
        )
        return Measurement({}, data)
