"""The test whether a copy can overfit one batch (Karpathy 2019, A recipe for training neural networks)."""

import math
from copy import deepcopy

import torch
from torch import nn
from torch.nn.modules.dropout import _DropoutNd

from service.spec.experiment import Experiment
from service.spec.probes import on_demand
from worker.trainer.data.batches import Batch
from worker.trainer.optim.fast_step import fast_step
from worker.trainer.probes.fresh_model import fresh_model
from worker.trainer.probes.measurement import (
    Instrument,
    Measurement,
    ProbedTraining,
    as_json,
    not_applicable,
    rounded,
    side_effect_free,
)

TOLERANCE = 0.1  # of the first loss
RATES = (3e-3, 3e-2, 3e-4)  # of Adam, the usual one first
FINISHED = 0.01  # of the first loss: stop early
MAX_LOSSES = 200  # in the reading


class OverfitBatch(Instrument[on_demand.OverfitBatch]):
    """Train the run's model on the run's next batch alone: on fresh weights, under Adam, at up to three rates.

    If the loss stays above a tenth of the first at each rate, the model, the loss or the data are wired wrongly: fix
    that before any tuning. The run's own rate, schedule and weights take no part, so that their faults do not look like
    these. Dropout is off, and the floor that label smoothing sets is subtracted from both losses. Cost: up to `steps`
    training steps for each rate; the first that suffices is the last.
    """

    def measure(self, training: ProbedTraining) -> Measurement:
        """Return the best loss over the first, and whether that is a tenth or less."""
        if training.spec.dataset.facts.task == "objective":
            return not_applicable("an objective has no rows")
        rows, floor = training.batches.batch(training.step + 1), least_loss(training.spec)
        tried = list[tuple[float, float, list[float]]]()  # share left, rate, losses
        with side_effect_free(training.device):
            for rate in RATES:
                losses = self._train(training, rows, rate, floor)
                tried.append((share_left(losses, floor), rate, losses))
                if tried[-1][0] <= TOLERANCE:
                    break
        share, rate, losses = min(tried, key=lambda each: each[0])
        every = -(-len(losses) // MAX_LOSSES)
        data = as_json(
            passed=share <= TOLERANCE,
            first=losses[0],
            last=losses[-1],
            least=min((loss for loss in losses if math.isfinite(loss)), default=math.nan),
            share=share,
            steps=len(losses),
            rows=len(rows[0]),
            optimizer="adam",
            lr=rate,
            rates=[each for _, each, _ in tried],
            trained_steps=sum(len(each) for _, _, each in tried),
            every=every,
            losses=rounded(losses[::every]),
        )
        return Measurement({"overfit_batch/share": share}, data)

    def _train(self, training: ProbedTraining, rows: Batch, rate: float, floor: float) -> list[float]:
        """Return the losses of fresh weights on these rows."""
        model, criterion, losses = fresh_model(training, training.seed), deepcopy(training.criterion), list[float]()
        disable_dropout(model)
        model.train()
        optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], rate)
        update = fast_step(optimizer)
        for _ in range(self.component.steps):
            optimizer.zero_grad(set_to_none=True)
            loss = criterion(model(rows[0]), rows[1])
            losses.append(float(loss.detach()))
            if not math.isfinite(losses[-1]) or losses[-1] - floor <= FINISHED * abs(losses[0] - floor):
                break
            torch.autograd.backward(loss)
            update()
        return losses


def share_left(losses: list[float], floor: float) -> float:
    """Return the least loss over the first, both above the floor; infinite where none is finite."""
    finite = [loss for loss in losses if math.isfinite(loss)]
    if not finite or not math.isfinite(losses[0]):
        return math.inf
    return (min(finite) - floor) / (losses[0] - floor) if losses[0] != floor else 0.0


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
