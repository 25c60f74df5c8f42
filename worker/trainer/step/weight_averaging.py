"""Averaged weights beside the model's own: they are measured, and change nothing of the training."""

import copy
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim import Optimizer
from torch.optim.swa_utils import AveragedModel

from service.spec.experiment import Experiment
from service.spec.training import EMA, SWA, OptimizerAverage
from worker.trainer.data.memory_mapped import Table
from worker.trainer.metrics import Metrics
from worker.trainer.step.evaluation import Validation


def ema(rate: float, average: Tensor, weight: Tensor, taken: Tensor | int) -> Tensor:
    """The average after one more weight."""
    return average.lerp(weight, rate)


def mean(average: Tensor, weight: Tensor, taken: Tensor | int) -> Tensor:
    """The mean of one more weight than the `taken` so far."""
    return average + (weight - average) / (taken + 1)


class WeightAverage:
    """A second set of weights: an exponential average after every update, or a plain mean from one on."""

    def __init__(self, spec: Experiment, model: nn.Module, x: Table) -> None:
        average = spec.average
        update: Callable[[Tensor, Tensor, Tensor | int], Tensor]
        assert isinstance(average, EMA | SWA)
        self.x, self.rows = x, spec.rows_per_step
        self.anew = not isinstance(average, EMA)  # whether statistics of batch normalisations are measured anew
        if isinstance(average, EMA):
            self.first, self.every, update = 1, 1, partial(ema, 1 - average.decay)
        else:
            self.first, self.every = average.first(spec.total_steps), average.every_steps or spec.steps_per_epoch
            update = mean
        self.model = AveragedModel(model, avg_fn=update)

    def update(self, step: int, model: nn.Module) -> None:
        """Take in the weights after update `step`, where that is due; the first are copied."""
        if step >= self.first and (step - self.first) % self.every == 0:
            self.model.update_parameters(model)

    def measure(self, validation: Validation, criterion: nn.Module) -> Metrics:
        """The validation series of the averaged weights; nothing before the first were taken in."""
        if not int(self.model.n_averaged):
            return {}
        if self.anew:
            measure_statistics(self.model.module, self.x, self.rows)
        measured = validation.measure(self.model.module, criterion)
        return {f"average/{name}": value for name, value in measured.items()}

    def state(self) -> dict[str, Tensor]:
        """Weights, buffers, and how many were taken in."""
        return self.model.state_dict()

    def load(self, state: dict[str, Any]) -> None:
        """The reverse of `state`."""
        self.model.load_state_dict(state)


class Kept:
    """The mean that the optimizer keeps in its own state, from which it is resumed."""

    def __init__(self, model: nn.Module, optimizers: Sequence[Optimizer]) -> None:
        self.source, self.model, self.optimizers = model, copy.deepcopy(model), optimizers

    def update(self, step: int, model: nn.Module) -> None:
        """The optimizer has done it."""

    def measure(self, validation: Validation, criterion: nn.Module) -> Metrics:
        """The validation series of the mean."""
        self.model.load_state_dict(self.source.state_dict())
        kept = {p: state["ax"] for each in self.optimizers for p, state in each.state.items() if "ax" in state}
        with torch.no_grad():
            for ours, p in zip(self.model.parameters(), self.source.parameters(), strict=True):
                ours.copy_(kept.get(p, p))
        return {f"average/{name}": value for name, value in validation.measure(self.model, criterion).items()}

    def state(self) -> dict[str, Tensor]:
        """Nothing beside the optimizer's."""
        return {}

    def load(self, state: dict[str, Any]) -> None:
        """The reverse of `state`."""


def build_weight_average(
    spec: Experiment, model: nn.Module, optimizers: Sequence[Optimizer], x: Table
) -> WeightAverage | Kept | None:
    """None where the spec averages nothing; `x` is the training part."""
    if spec.average is None:
        return None
    return Kept(model, optimizers) if isinstance(spec.average, OptimizerAverage) else WeightAverage(spec, model, x)


def measure_statistics(model: nn.Module, x: Table, rows: int) -> None:
    """Running statistics of every batch normalisation as the mean over x in batches of `rows`, as torch's update_bn.

    Only those layers are in training mode: unlike there, dropout draws nothing.
    """
    norms = [layer for layer in model.modules() if isinstance(layer, _BatchNorm) and layer.track_running_stats]
    if not norms:
        return
    momenta = [norm.momentum for norm in norms]
    model.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the mean of all batches
        norm.train()
    with torch.no_grad():
        for batch in x.split(rows):
            if len(batch) > 1:  # one row has no variance
                model(batch)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    model.eval()
