"""The whole step as machine code: gradients and updates that torch.compile has translated, for `compile: true`.

Values differ from eager ones in the last bits, and by as much as training amplifies them; equal runs are still equal.
Guards are skipped: what they would look at (shapes, modes, settings) is fixed by the spec, and checking it every step
took a third of a small one. So what is translated is forgotten when the next training begins.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch._dynamo
import torch._inductor.config
from torch import Tensor, nn
from torch._inductor.cpp_builder import get_cpp_compiler
from torch._inductor.exc import InvalidCxxCompiler
from torch.func import functional_call, grad_and_value
from torch.nn.modules.batchnorm import _NormBase
from torch.optim import SGD, Optimizer

from service.errors import RunFailure
from worker.data.batches import Batches
from worker.gradients import Gradients
from worker.optim.stepping import bare
from worker.precision import Precision

NO_COMPILER = "compile needs a C++ compiler on the worker: install g++, or leave compile out of the spec"
OPTIONS: dict[str, str | int | bool | Callable[..., Any]] = {
    "guard_filter_fn": torch.compiler.skip_all_guards_unsafe,
    "fallback_random": True,  # dropout draws what it would draw untranslated
}


def begin() -> None:
    """Forget what earlier trainings of this process had translated: without guards it would be taken for ours."""
    torch._dynamo.reset()
    torch._inductor.config.deterministic = True
    try:
        get_cpp_compiler()
    except InvalidCxxCompiler as error:
        raise RunFailure("spec_cannot_build", NO_COMPILER) from error


def translated(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function` as machine code; it must be called with equal shapes only."""
    made: Callable[..., Any] = torch.compile(function, dynamic=False, options=OPTIONS)
    return made


class CompiledGradients(Gradients):
    """Forward and backward over whole batches as one graph; the smaller last batch of an epoch goes the plain way.

    Gradients are taken within the graph (torch.func), not by autograd around it, whose bookkeeping takes longer than a
    small step. What a forward pass changes, the running statistics of batch normalisation, goes in and comes out again.
    """

    def __init__(self, model: nn.Module, criterion: nn.Module, batches: Batches, precision: Precision) -> None:
        begin()
        super().__init__(model, criterion, batches, precision, pieces=1)
        self.statistics = {
            f"{path}.{name}" if path else name: buffer
            for path, module in model.named_modules()
            if isinstance(module, _NormBase)
            for name, buffer in module.named_buffers(recurse=False)
        }
        self.trained = self._trained()
        self.translated = translated(self._loss_and_gradients)

    def _trained(self) -> dict[str, nn.Parameter]:
        """The parameters that the loss depends on: the others have no gradient, which is not the same as none of it."""
        known = {name: each for name, each in self.model.named_parameters() if each.requires_grad}
        x, y = self.batches.batch(1)
        on_gpu = [x.device] if x.is_cuda else []
        with torch.random.fork_rng(devices=on_gpu), torch.enable_grad():
            loss, _ = self._loss(known, [each.clone() for each in self.statistics.values()], x[:2], y[:2])
            found = torch.autograd.grad(loss, list(known.values()), allow_unused=True)
        return {name: each for (name, each), own in zip(known.items(), found, strict=True) if own is not None}

    def compute(self, step: int) -> Tensor:
        """Gradients of update `step`; returns the mean loss of the batch, detached."""
        x, y = self.batches.batch(step)
        if len(x) != self.batches.rows:
            return self._plainly(x, y)
        weights, statistics = [each.detach() for each in self.trained.values()], list(self.statistics.values())
        with torch.no_grad():
            loss, gradients, changed = self.translated(weights, statistics, x, y)
            for old, new in zip(statistics, changed, strict=True):
                old.copy_(new)
        for parameter, gradient in zip(self.trained.values(), gradients, strict=True):
            parameter.grad = gradient
        return loss  # type: ignore[no-any-return]

    def _plainly(self, x: Tensor, y: Tensor) -> Tensor:
        self.model.zero_grad(set_to_none=True)
        return self._backward((x, y), None)

    def _loss_and_gradients(
        self, weights: list[Tensor], statistics: list[Tensor], x: Tensor, y: Tensor
    ) -> tuple[Tensor, list[Tensor], list[Tensor]]:
        def loss_of(weights: list[Tensor], statistics: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
            return self._loss(dict(zip(self.trained, weights, strict=True)), statistics, x, y)

        fresh = [each.clone() for each in statistics]
        gradients, (loss, changed) = grad_and_value(loss_of, has_aux=True)(weights, fresh)
        return loss, gradients, changed

    def _loss(
        self, weights: Mapping[str, Tensor], statistics: list[Tensor], x: Tensor, y: Tensor
    ) -> tuple[Tensor, list[Tensor]]:
        """The mean loss with these weights; `statistics` are changed as the forward pass does."""
        given = {**weights, **dict(zip(self.statistics, statistics, strict=True))}
        with self.precision.forward():
            return self.criterion(functional_call(self.model, given, (x,)), y), statistics


class CompiledStep:
    """An optimizer's `step`, translated. Its first update goes the plain way, because that one makes the state."""

    def __init__(self, optimizer: Optimizer) -> None:
        self.optimizer = optimizer
        self.keeps_nothing = isinstance(optimizer, SGD) and all(g["momentum"] == 0 for g in optimizer.param_groups)
        self.plain = bare(optimizer)
        self.translated = translated(self.plain)
        self.rates = [torch.tensor(group["lr"], dtype=torch.float64) for group in optimizer.param_groups]
        self.held = [float(group["lr"]) for group in optimizer.param_groups]

    def __call__(self) -> None:
        """One update; the rates are tensors meanwhile, or the first one's would be part of the machine code."""
        groups = self.optimizer.param_groups
        if not (self.optimizer.state or self.keeps_nothing):
            self.plain()
            return
        for at, group in enumerate(groups):
            if group["lr"] != self.held[at]:
                self.held[at] = group["lr"]
                self.rates[at].fill_(group["lr"])
            group["lr"] = self.rates[at]
        try:
            self.translated()
        finally:
            for at, group in enumerate(groups):
                group["lr"] = self.held[at]
