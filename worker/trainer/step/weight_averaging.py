"""Averaged weights beside the model's own, which are evaluated and do not affect the training."""

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from service.spec.experiment import Experiment
from service.spec.memory import piece_rows
from service.spec.training import EMA, SWA, OptimizerAverage
from worker.trainer.data.memory_mapped import RowTensor
from worker.trainer.metrics import Metrics
from worker.trainer.models.norms import with_changing_statistics
from worker.trainer.step.evaluation import Validation
from worker.trainer.step.precision import Precision


@torch.no_grad()
def add_to_ema(averages: list[Tensor], weights: list[Tensor], rate: float) -> None:
    """Move each average by `rate` of its distance to the weight."""
    torch._foreach_lerp_(averages, weights, rate)


@torch.no_grad()
def add_to_mean(averages: list[Tensor], weights: list[Tensor], added: int) -> None:
    """Turn each mean of `added` weights into that of one more."""
    changes = torch._foreach_sub(weights, averages)
    torch._foreach_div_(changes, added + 1)
    torch._foreach_add_(averages, changes)


class WeightAverage:
    """An exponential average after every update, or a plain mean from some update on.

    It counts on the host and updates all weights in a few operations. torch's AveragedModel copies its counter to the
    device for every parameter, and the loop waits for each copy.
    """

    def __init__(self, spec: Experiment, model: nn.Module, x: RowTensor) -> None:
        average = spec.average
        assert isinstance(average, EMA | SWA)
        self.x, self.rows, self.precision = x, piece_rows(spec), Precision(spec.precision, x.device)
        self.model, self.added = copy.deepcopy(model), 0
        self.rate: float | None = 1 - average.decay if isinstance(average, EMA) else None
        if isinstance(average, EMA):
            self.first, self.every = 1, 1
        else:
            self.first, self.every = average.first(spec.total_steps), average.every_steps or spec.steps_per_epoch

    @torch.no_grad()
    def update(self, step: int, model: nn.Module) -> None:
        """Add the weights after update `step`, if due; the first are copied. Buffers are the latest."""
        if step < self.first or (step - self.first) % self.every:
            return
        averages: list[Tensor] = [*self.model.parameters()]
        weights: list[Tensor] = [*model.parameters()]
        if not self.added:
            torch._foreach_copy_(averages, weights)
        elif self.rate is not None:
            add_to_ema(averages, weights, self.rate)
        else:
            add_to_mean(averages, weights, self.added)
        for ours, theirs in zip(self.model.buffers(), model.buffers(), strict=True):
            ours.copy_(theirs)
        self.added += 1

    def measure(self, validation: Validation, criterion: nn.Module) -> Metrics:
        """Return the validation series of the averaged weights; none before the first were added."""
        if not self.added:
            return {}
        if self.rate is None:  # statistics of batch normalisation, for the averaged weights
            with self.precision.forward():
                measure_statistics(self.model, self.x, self.rows)
        measured = validation.measure(self.model, criterion)
        return {f"average/{name}": value for name, value in measured.items()}

    def state(self) -> dict[str, Tensor]:
        """Return weights, buffers, and how many were added, by the names of torch's AveragedModel."""
        named = {f"module.{name}": value for name, value in self.model.state_dict().items()}
        return {"n_averaged": torch.tensor(self.added)} | named

    def load(self, state: dict[str, Any]) -> None:
        """Restore the state."""
        self.added = int(state["n_averaged"])
        self.model.load_state_dict({k.removeprefix("module."): v for k, v in state.items() if k != "n_averaged"})


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
    norms = with_changing_statistics(model)
    if not norms:
        return
    momenta = [norm.momentum for norm in norms]
    model.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.train()
    batches = (batch for batch in x.split(rows) if len(batch) > 1)  # one row has no variance
    with torch.no_grad():
        for number, batch in enumerate(batches, 1):
            for norm in norms:
                norm.momentum = 1 / number  # the mean of all batches; with None torch reads its counter from the device
            model(batch)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    model.eval()
