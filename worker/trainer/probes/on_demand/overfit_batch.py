"""Can a copy learn one batch by heart? (Karpathy 2019, A recipe for training neural networks)"""

import math
from typing import Any

from torch import nn
from torch.nn.modules.dropout import _DropoutNd

from service.spec.experiment import Experiment
from worker.trainer.data.batches import Batches
from worker.trainer.probes.measurement import (
    Measurement,
    ProbedTraining,
    document,
    not_applicable,
    rounded,
    undisturbed,
)
from worker.trainer.probes.scratch_training import scratch_copy, train_step

PASSED = 0.1  # of the first loss
LEARNT = 0.01  # of the first loss: nothing is left to see
DRAWN = 200  # losses in the reading at most


class OverfitBatch:
    """The run's next batch again and again, on a copy, with the run's optimizer at its base rate.

    Where a tenth of the first loss is not reached, the model, the loss or the data are wired wrongly, the units are
    dead or the rate is far off: no tuning helps before that. Dropout is off; what label smoothing makes unreachable is
    taken off both losses. Cost: up to `steps` training steps.
    """

    def __init__(self, component: Any) -> None:
        self.steps: int = component.steps

    def measure(self, training: ProbedTraining) -> Measurement:
        """The last loss over the first, and whether that is a tenth or less."""
        if training.spec.dataset.facts.task == "objective":
            return not_applicable("an objective has no rows")
        x, y = training.batches.batch(training.step + 1)
        losses, floor = list[float](), least_loss(training.spec)
        with undisturbed(training.device):
            other = scratch_copy(training, Batches(x, y, len(x), training.seed, whole=True))
            without_dropout(other.model)
            for _ in range(self.steps):
                losses.append(float(train_step(other, training.step + 1, training.spec.optimizer.lr)))
                if not math.isfinite(losses[-1]) or losses[-1] - floor <= LEARNT * abs(losses[0] - floor):
                    break
        best = min((loss for loss in losses if math.isfinite(loss)), default=math.nan)
        share = (best - floor) / (losses[0] - floor) if losses[0] != floor else 0.0
        every = -(-len(losses) // DRAWN)
        data = document(
            passed=share <= PASSED,
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
    """What label smoothing leaves of a cross-entropy at best: the entropy of the smoothed answer, in nats."""
    smoothing = float(getattr(spec.loss, "label_smoothing", 0.0))
    if not smoothing:
        return 0.0
    others = smoothing / spec.outputs
    right = 1 - smoothing + others
    return -right * math.log(right) - (spec.outputs - 1) * others * math.log(others)


def without_dropout(model: nn.Module) -> None:
    """Nothing is dropped any more, in layers and between recurrent ones."""
    for module in model.modules():
        if isinstance(module, _DropoutNd):
            module.p = 0.0
        elif isinstance(module, nn.RNNBase):
            module.dropout = 0.0
