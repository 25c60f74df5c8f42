"""A throw-away training that goes on by itself from where another one is: nothing it does is seen there."""

import copy
from typing import cast

from torch import Tensor

from worker.trainer.build import build_optimizers
from worker.trainer.data.batches import Batches
from worker.trainer.optim.fast_step import fast_step
from worker.trainer.optim.schedule_free import train_mode
from worker.trainer.probes.measurement import ProbedTraining, undisturbed
from worker.trainer.probes.model_copy import ModelCopy, flat, rebuilt
from worker.trainer.step.evaluation import build_criterion
from worker.trainer.step.learning_rates import LearningRates
from worker.trainer.step.mechanics import Mechanics


def scratch_copy(training: ProbedTraining, rows: Batches | None = None) -> ProbedTraining:
    """Its own model, optimizers and mechanics, and the same rows in memory; the next number drawn is as there."""
    other = copy.copy(training)
    spec, given = training.spec, rows or training.batches
    with undisturbed(training.device):
        other.model = rebuilt(training)
    other.criterion = build_criterion(spec, training.device)
    other.optimizers = build_optimizers(spec, other.model, training.device)
    other.batches = given.again()
    other.rates = LearningRates(spec, other.optimizers)
    other.mechanics = Mechanics(spec, other.model, other.criterion, other.optimizers, other.batches, training.device)
    other.load(copy.deepcopy(training.state()))
    other.model.train()
    train_mode(other.optimizers)
    return other


def train_step(training: ProbedTraining, step: int, lr: float | None = None) -> Tensor:
    """Update `step` as the loop makes it, evaluations aside; `lr` in place of the planned rate of /optimizer.

    Returns the batch's loss before it.
    """
    training.rates.apply(min(step - training.mechanics.precision.skipped, training.spec.total_steps))
    if lr is not None:
        _scale(training, lr)
    gradients, clipping = training.mechanics.gradients, training.mechanics.clipping
    if training.spec.optimizer.searches:
        losses: list[Tensor] = []

        def closure() -> float:
            losses.append(gradients.compute(step))
            clipping.apply()
            return cast(float, losses[-1])

        training.optimizers[0].step(closure)
        training.step = step
        return losses[0]
    loss = gradients.compute(step)
    finite = training.mechanics.precision.unscale(training.optimizers)
    clipping.apply()
    if finite:
        for optimizer in training.optimizers:
            fast_step(optimizer)()
    training.step = step
    return loss


def _scale(training: ProbedTraining, lr: float) -> None:
    """Each group's rate in the proportion that the spec gives it."""
    for own in training.rates.groups:
        own.group["lr"] = lr * own.lr / training.spec.optimizer.lr


def next_update(training: ProbedTraining, twin: ModelCopy) -> tuple[Tensor, float]:
    """What the next update would add to the weights (n,), and its rate of /optimizer; at the end, a further one."""
    with undisturbed(training.device):
        other = scratch_copy(training)
        train_step(other, training.step + 1)
    values = dict(other.model.named_parameters())
    there = flat([values[name].detach().to(twin.dtype) for name in twin.names])
    return there - twin.theta(), float(other.rates.groups[0].group["lr"])
