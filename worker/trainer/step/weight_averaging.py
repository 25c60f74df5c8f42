"""Averaged weights beside the model's own, which are evaluated and do not affect the training."""

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
from service.spec.memory import piece_rows
from service.spec.training import EMA, SWA, OptimizerAverage
from worker.trainer.data.memory_mapped import RowTensor
from worker.trainer.metrics import Metrics
from worker.trainer.step.evaluation import Validation
from worker.trainer.step.precision import Precision


def ema(rate: float, average: Tensor, weight: Tensor, taken: Tensor | int) -> Tensor:
    """Return the exponential average after one more weight."""
    return average.lerp(weight, rate)


def mean(average: Tensor, weight: Tensor, taken: Tensor | int) -> Tensor:
    """Return the mean after one more weight than the `taken` so far."""
    return average + (weight - average) / (taken + 1)


class WeightAverage:
    """An exponential average after every update, or a plain mean from some update on."""

    def __init__(self, spec: Experiment, model: nn.Module, x: RowTensor) -> None:
        average = spec.average
        update: Callable[[Tensor, Tensor, Tensor | int], Tensor]
        assert isinstance(average, EMA | SWA)
        self.x, self.rows, self.precision = x, piece_rows(spec), Precision(spec.precision, x.device)
        self.measures_statistics = not isinstance(average, EMA)  # of batch normalisations, for the averaged weights
        if isinstance(average, EMA):
            self.first, self.every, update = 1, 1, partial(ema, 1 - average.decay)
        else:
            self.first, self.every = average.first(spec.total_steps), average.every_steps or spec.steps_per_epoch
            update = mean
        self.model = AveragedModel(model, avg_fn=update)

    def update(self, step: int, model: nn.Module) -> None:
        """Add the weights after update `step`, if due; the first are copied."""
        if step >= self.first and (step - self.first) % self.every == 0:
            self.model.update_parameters(model)

    def measure(self, validation: Validation, criterion: nn.Module) -> Metrics:
        """Return the validation series of the averaged weights; none before the first were added."""
        if not int(self.model.n_averaged):
            return {}
        if self.measures_statistics:
            with self.precision.forward():
                measure_statistics(self.model.module, self.x, self.rows)
        measured = validation.measure(self.model.module, criterion)
        return {f"average/{name}": value for name, value in measured.items()}

    def state(self) -> dict[str, Tensor]:
        """Return weights, buffers, and how many were added."""
        return self.model.state_dict()

    def load(self, state: dict[str, Any]) -> None:
        """Restore the state."""
        self.model.load_state_dict(state)


class AveragedByOptimizer:
    """The mean that an optimizer keeps in its own state, with which it is saved."""

    def __init__(self, model: nn.Module, optimizers: Sequence[Optimizer]) -> None:
        self.source, self.model, self.optimizers = model, copy.deepcopy(model), optimizers

    def update(self, step: int, model: nn.Module) -> None:
        """Do nothing: the optimizer has updated it."""

    def measure(self, validation: Validation, criterion: nn.Module) -> Metrics:
        """Return the validation series of the mean."""
        self.model.load_state_dict(self.source.state_dict())
        kept = {p: state["ax"] for each in self.optimizers for p, state in each.state.items() if "ax" in state}
        with torch.no_grad():
            for ours, p in zip(self.model.parameters(), self.source.parameters(), strict=True):
                ours.copy_(kept.get(p, p))
        return {f"average/{name}": value for name, value in validation.measure(self.model, criterion).items()}

    def state(self) -> dict[str, Tensor]:
        """Return nothing: the state is the optimizer's."""
        return {}

    def load(self, state: dict[str, Any]) -> None:
        """Restore the state."""


def build_weight_average(
    spec: Experiment, model: nn.Module, optimizers: Sequence[Optimizer], x: RowTensor
) -> WeightAverage | AveragedByOptimizer | None:
    """Return the spec's average, or None; `x` is the training part."""
    if spec.average is None:
        return None
    return (
        AveragedByOptimizer(model, optimizers)
        if isinstance(spec.average, OptimizerAverage)
        else WeightAverage(spec, model, x)
    )


def measure_statistics(model: nn.Module, x: RowTensor, rows: int) -> None:
    """Set running statistics of every batch normalisation to the mean over x in batches of `rows`.

    Like torch's update_bn, but only those layers are in training mode, so dropout draws nothing.
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
