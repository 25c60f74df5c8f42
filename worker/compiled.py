"""The whole step as machine code: gradients and updates that torch.compile has translated, for `compile: true`.

Values differ from eager ones in the last bits, and by as much as training amplifies them; equal runs are still equal.
Guards are skipped: what they would look at (shapes, modes, settings) is fixed by the spec, and checking it every step
took a third of a small one. So what is translated is forgotten when the next training begins.
"""

from collections.abc import Callable
from typing import Any

import torch
import torch._dynamo
import torch._inductor.config
from torch import Tensor, nn
from torch._inductor.cpp_builder import get_cpp_compiler
from torch._inductor.exc import InvalidCxxCompiler
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
    """Forward and backward over whole batches, translated; the smaller last batch of an epoch goes the plain way."""

    def __init__(self, model: nn.Module, criterion: nn.Module, batches: Batches, precision: Precision) -> None:
        begin()
        super().__init__(model, criterion, batches, precision, pieces=1)
        self.trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self.translated = translated(self._loss_and_gradients)

    def compute(self, step: int) -> Tensor:
        """Gradients of update `step`; returns the mean loss of the batch, detached."""
        x, y = self.batches.batch(step)
        if len(x) != self.batches.rows:
            return self._plainly(x, y)
        loss, gradients = self.translated(x, y)
        for parameter, gradient in zip(self.trained, gradients, strict=True):
            parameter.grad = gradient
        return loss  # type: ignore[no-any-return]

    def _plainly(self, x: Tensor, y: Tensor) -> Tensor:
        self.model.zero_grad(set_to_none=True)
        return self._backward((x, y), None)

    def _loss_and_gradients(self, x: Tensor, y: Tensor) -> tuple[Tensor, tuple[Tensor | None, ...]]:
        with self.precision.forward():
            loss = self.criterion(self.model(x), y)
        return loss.detach(), torch.autograd.grad(loss, self.trained, allow_unused=True)


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
