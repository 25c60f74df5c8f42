"""A scratch training that continues from another one's state without affecting it."""

from copy import copy, deepcopy
from typing import cast

from torch import Tensor

from worker.trainer.build import build_optimizers
from worker.trainer.data.batches import Batches
from worker.trainer.optim.fast_step import fast_step
from worker.trainer.optim.schedule_free import train_mode
from worker.trainer.probes.measurement import ProbedTraining, side_effect_free
from worker.trainer.probes.model_copy import ModelCopy, flat, rebuild
from worker.trainer.step.learning_rates import LearningRates
from worker.trainer.step.pipeline import StepPipeline
from worker.trainer.step.unfreezing import Unfreezing


def scratch_copy(training: ProbedTraining, rows: Batches | None = None) -> ProbedTraining:
    """Return a training with its own model, optimizers and pipeline, and the same rows and random states."""
    other = copy(training)
    spec, given = training.spec, rows or training.batches
    with side_effect_free(training.device):
        other.model = rebuild(training)
    other.criterion = deepcopy(training.criterion)
    other.optimizers = build_optimizers(spec, other.model, training.device)
    other.batches = given.copy()
    other.rates = LearningRates(spec, other.optimizers)
    other.unfreezing = Unfreezing(other.rates)
    other.pipeline = StepPipeline(spec, other.model, other.criterion, other.optimizers, other.batches, training.device)
    other.load(deepcopy(training.state()))
    other.model.train()
    train_mode(other.optimizers)
    return other


def train_step(training: ProbedTraining, step: int, lr: float | None = None) -> Tensor:
    """Make update `step` as the loop does, without evaluations; `lr` replaces the planned rate of /optimizer.

    Return the batch's loss before the update.
    """
    training.begin_step(step)
    training.rates.apply(min(step - training.pipeline.precision.skipped, training.spec.total_steps))
    if lr is not None:
        _set_rates(training, lr)
    gradients, clipping = training.pipeline.gradients, training.pipeline.clipping
    if training.spec.optimizer.needs_closure:
        losses: list[Tensor] = []

        def closure() -> float:
            losses.append(gradients.compute(step))
            clipping.apply()
            return cast(float, losses[-1])

        training.optimizers[0].step(closure)
        training.step = step
        return losses[0]
    loss = gradients.compute(step)
    finite = training.pipeline.precision.unscale(training.optimizers)
    clipping.apply(finite)
    if finite:
        for optimizer in training.optimizers:
            fast_step(optimizer)()
    training.step = step
    return loss


def _set_rates(training: ProbedTraining, lr: float) -> None:
    """Set each group's rate, in proportion to the spec's."""
    for own in training.rates.groups:
        own.group["lr"] = lr * own.lr / training.spec.optimizer.lr


def next_update(training: ProbedTraining, model_copy: ModelCopy) -> tuple[Tensor, float]:
    """Return what the next update would add to the weights (n,), and its rate; at the end, one more update."""
    with side_effect_free(training.device):
        other = scratch_copy(training)
        train_step(other, training.step + 1)
    values = dict(other.model.named_parameters())
    there = flat([values[name].detach().to(model_copy.dtype) for name in model_copy.names])
    return there - model_copy.theta(), float(other.rates.groups[0].group["lr"])
