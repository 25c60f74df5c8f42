"""Batch normalisation's two modes on the same rows: far apart, what is measured is not what is trained."""

from torch import Tensor

from worker.trainer.metrics import Metrics
from worker.trainer.probes.inline.base import InlineProbe
from worker.trainer.probes.inline.side_effect_free import has_batch_norm, still
from worker.trainer.probes.measurement import ProbedTraining


class NormModes(InlineProbe):
    """bn_gap = L(batch statistics) / L(running statistics), of the rows of the update that was just made."""

    def next_step(self, step: int) -> int:
        """Only evaluations ask it."""
        return self.total + 1

    def begin(self, training: ProbedTraining) -> None:
        """Once: whether there is anything to measure."""
        self._there = has_batch_norm(training.model)

    def after_evaluation(self, training: ProbedTraining, step: int) -> Metrics:
        """Two forward passes, in fp32 as evaluations are."""
        if not self._there:
            return {}
        x, y = training.batches.batch(step)
        losses: list[Tensor] = []
        for own in (True, False):
            with still(training.model, batch_statistics=own):
                losses.append(training.criterion(training.model(x), y))
        return {"bn_gap": losses[0] / losses[1]}
