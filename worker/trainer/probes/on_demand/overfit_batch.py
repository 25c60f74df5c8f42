"""The test whether a copy can overfit one batch (Karpathy 2019, A recipe for training neural networks)."""

import math

from torch import nn
from torch.nn.modules.dropout import _DropoutNd

from service.spec.experiment import Experiment
from service.spec.probes import on_demand
from worker.trainer.data.batches import Batches
from worker.trainer.probes.measurement import (
    Instrument,
    Measurement,
    ProbedTraining,
    as_json,
    not_applicable,
    rounded,
    side_effect_free,
)
from worker.trainer.probes.scratch_training import scratch_copy, train_step

TOLERANCE = 0.1  # of the first loss
FINISHED = 0.01  # of the first loss: stop early
MAX_LOSSES = 200  # in the reading


class OverfitBatch(Instrument[on_demand.OverfitBatch]):
    """Train a copy on the run's next batch alone, with the run's optimizer at its base rate.

    If the loss stays above a tenth of the first, the model, the loss or the data are wired wrongly, units are dead or
    the rate is far off: fix that before any tuning. Dropout is off, and the floor that label smoothing sets is
    subtracted from both losses. Cost: up to `steps` training steps.
    """

    def measure(self, training: ProbedTraining) -> Measurement:
        """Return the best loss over the first, and whether that is a tenth or less."""
        if training.spec.dataset.facts.task == "objective":
            return not_applicable("an objective has no rows")
        x, y = training.batches.batch(training.step + 1)
        losses, floor = list[float](), least_loss(training.spec)
        with side_effect_free(training.device):
            other = scratch_copy(training, Batches(x, y, len(x), training.seed, whole=True))
            disable_dropout(other.model)
            for _ in range(self.component.steps):
                losses.append(float(train_step(other, training.step + 1, training.spec.optimizer.lr)))
                if not math.isfinite(losses[-1]) or losses[-1] - floor <= FINISHED * abs(losses[0] - floor):
                    break
        best = min((loss for loss in losses if math.isfinite(loss)), default=math.nan)
        share = (best - floor) / (losses[0] - floor) if losses[0] != floor else 0.0
        every = -(-len(losses) // MAX_LOSSES)
        data = as_json(
            passed=share <= TOLERANCE,
            first=losses[0],
            last=losses[-1],
            least=best,
            share=share,
            steps=len(losses),
            rows=len(x),
            lr=float(training.spec.optimizer.lr),
            every=every,
            losses=rounded(losses[::every]),
        )
        return Measurement({"overfit_batch/share": share}, data)


def least_loss(spec: Experiment) -> float:
    """Return the smallest possible cross-entropy: the entropy of the smoothed target, in nats."""
    smoothing = float(getattr(spec.loss, "label_smoothing", 0.0))
    if not smoothing:
        return 0.0
    others = smoothing / spec.outputs
    right = 1 - smoothing + others
    return -right * math.log(right) - (spec.outputs - 1) * others * math.log(others)


def disable_dropout(model: nn.Module) -> None:
    """Turn dropout off, in layers and between recurrent ones."""
    for module in model.modules():
        if isinstance(module, _DropoutNd):
            module.p = 0.0
        elif isinstance(module, nn.RNNBase):
            module.dropout = 0.0
