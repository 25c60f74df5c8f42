"""Batch normalisation's two modes on the same rows: far apart, what is measured is not what is trained."""

from torch import Tensor

from worker.trainer.probes.watchers.still import has_batch_norm, still
from worker.trainer.probes.watchers.watching import Observed, Readings, Watcher


class NormModes(Watcher):
    """bn_gap = L(batch statistics) / L(running statistics), of the rows of the update that was just made."""

    def next(self, step: int) -> int:
        """Only evaluations ask it."""
        return self.total + 1

    def begin(self, training: Observed) -> None:
        """Once: whether there is anything to measure."""
        self._there = has_batch_norm(training.model)

    def evaluated(self, training: Observed, step: int) -> Readings:
        """Two forward passes, in fp32 as evaluations are."""
        if not self._there:
            return {}
        x, y = training.batches.batch(step)
        losses: list[Tensor] = []
        for own in (True, False):
            with still(training.model, batch_statistics=own):
                losses.append(training.criterion(training.model(x), y))
        return {"bn_gap": losses[0] / losses[1]}
