"""The loss under batch normalisation's two modes: if they differ much, evaluation measures another model."""

from torch import Tensor

from worker.trainer.metrics import Metrics
from worker.trainer.probes.inline.base import InlineProbe
from worker.trainer.probes.inline.side_effect_free import has_batch_norm, side_effect_free_forward
from worker.trainer.probes.measurement import ProbedTraining
from worker.trainer.step.gradients import split_batch


class BatchNormGap(InlineProbe):
    """bn_gap = L(batch statistics) / L(running statistics), on the rows of the latest update, or its first piece."""

    def next_step(self, step: int) -> int:
        """Return no step: only evaluations ask it."""
        return self.total + 1

    def begin(self, training: ProbedTraining) -> None:
        """Find whether there is anything to measure."""
        self._applicable = has_batch_norm(training.model)

    def after_evaluation(self, training: ProbedTraining, step: int) -> Metrics:
        """Make two forward passes, in the precision of the training."""
        if not self._applicable:
            return {}
        x, y = next(split_batch(training.batches.batch(step), training.spec.accumulate))
        precision, losses = training.pipeline.precision, list[Tensor]()
        for own in (True, False):
            with side_effect_free_forward(training.model, batch_statistics=own), precision.forward():
                losses.append(training.criterion(training.model(x), y))
        return {"bn_gap": losses[0] / losses[1]}
