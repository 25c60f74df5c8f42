"""Compiled forward and backward passes, for `compile: true`. The optimizer's update is not compiled.

The gradient is part of the graph (torch.func), and the code that torch's compiler (inductor) generates is called
directly. torch.compile would add guards against changed shapes, modes and settings, and fall back to Python for what it
cannot compile: 0.15 ms per call, more than a small step. Here the spec fixes all of these, the code refuses tensors of
other shapes, and a model that cannot be compiled fails with that message. A compiled Adam update took 83 us, torch's
fused one takes 56 (`docs/decisions.md`). Values differ from eager ones in the last bits, which training amplifies;
equal runs are still equal.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import chain

import torch
import torch._inductor
import torch._inductor.config
from torch import Tensor, nn
from torch._inductor.cpp_builder import get_cpp_compiler
from torch._inductor.exc import InvalidCxxCompiler
from torch.func import functional_call, grad_and_value
from torch.fx.experimental.proxy_tensor import make_fx
from torch.nn.modules.batchnorm import _NormBase

from service.errors import RunFailure
from worker.trainer.data.batches import Batches
from worker.trainer.failures import run_failure_of
from worker.trainer.step.gradients import Gradients
from worker.trainer.step.precision import Precision

NO_COMPILER = "compile needs a C++ compiler on the worker: install g++, or leave compile out of the spec"
CANNOT_COMPILE = "compile cannot translate this model or loss, leave compile out of the spec"
OPTIONS = {
    "deterministic": True,
    "fallback_random": True,  # dropout draws what it draws in eager mode
}
# With channels last, oneDNN's backward of some convolutions (4 to 8 channels, stride 2) writes outside its memory
ON_CPU = {"layout_optimization": False}
Tensors = Sequence[Tensor]
Named = Mapping[str, Tensor]


def compile_function(function: Callable[..., list[Tensor]], examples: Tensors) -> Callable[..., list[Tensor]]:
    """Compile `function` for tensors shaped like `examples`.

    Tensors that `function` mutates are mutated. Call it without autograd. Raises RunFailure.
    """
    options = OPTIONS if examples[0].is_cuda else OPTIONS | ON_CPU
    try:
        with torch._inductor.config.patch(options):
            graph = make_fx(function, None, "fake", _allow_non_fake_inputs=True)(*examples)
            return torch._inductor.compile(graph, list(examples))  # type: ignore[no-any-return]
    except RuntimeError as error:
        failure = run_failure_of(error, None, building=True)
        if failure.kind == "spec_cannot_build":
            failure = RunFailure(failure.kind, f"{CANNOT_COMPILE}: {failure.detail}", None, failure.evidence)
        raise failure from error


class CompiledGradients(Gradients):
    """Gradients of whole batches, from compiled code."""

    def __init__(self, model: nn.Module, criterion: nn.Module, batches: Batches, precision: Precision) -> None:
        super().__init__(model, criterion, batches, precision, pieces=1)
        if self.switches_loss and [*criterion.buffers()]:
            raise RunFailure("spec_cannot_build", f"{CANNOT_COMPILE}: the loss keeps buffers")
        try:
            get_cpp_compiler()  # code for a GPU has a C++ part too
        except InvalidCxxCompiler as error:
            raise RunFailure("spec_cannot_build", NO_COMPILER) from error
        self.statistics = {
            f"{path}.{name}" if path else name: buffer
            for path, module in model.named_modules()
            if isinstance(module, _NormBase)
            for name, buffer in module.named_buffers(recurse=False)
        }
        self.choose_parameters()

    def choose_parameters(self) -> None:
        """Note which parameters learn; the code is compiled anew for them."""
        self.trained = self._trained()
        own = dict(chain(self.model.named_parameters(), self.model.named_buffers()))
        self.fixed = {name: each for name, each in own.items() if name not in self.trained | self.statistics}
        self.codes: dict[int, Callable[..., list[Tensor]]] = {}  # by rows: an epoch's last batch has fewer

    def _trained(self) -> dict[str, nn.Parameter]:
        """Return the parameters that the loss depends on; the others have no gradient at all, rather than 0."""
        known = {name: each for name, each in self.model.named_parameters() if each.requires_grad}
        x, y = self.batches.batch(1)
        on_gpu = [x.device] if x.is_cuda else []
        with torch.random.fork_rng(devices=on_gpu), torch.enable_grad():
            loss = self._loss(known, {name: each.clone() for name, each in self.statistics.items()}, x[:2], y[:2])
            found = torch.autograd.grad(loss, list(known.values()), allow_unused=True)
        return {name: each for (name, each), own in zip(known.items(), found, strict=True) if own is not None}

    def compute(self, step: int) -> Tensor:
        """Compute the gradients of update `step`; return the mean loss of the batch, detached."""
        x, y = self.batches.batch(step)
        with torch.no_grad(), self.training_loss():
            inputs = [x, y, *self.trained.values(), *self.statistics.values(), *self.fixed.values()]
            if (code := self.codes.get(len(x))) is None:
                code = self.codes[len(x)] = compile_function(self._loss_and_gradients, inputs)
            loss, *gradients = code(*inputs)
        for parameter, gradient in zip(self.trained.values(), gradients, strict=True):
            parameter.grad = gradient
        return loss

    def _loss_and_gradients(self, x: Tensor, y: Tensor, *given: Tensor) -> list[Tensor]:
        trained, statistics, fixed = (
            {name: next(values) for name in names}
            for values in [iter(given)]
            for names in (self.trained, self.statistics, self.fixed)
        )

        def loss_of(trained: Named, statistics: Named) -> tuple[Tensor, Named]:
            return self._loss({**trained, **fixed}, statistics, x, y), statistics

        copies = {name: each.clone() for name, each in statistics.items()}
        gradients, (loss, changed) = grad_and_value(loss_of, has_aux=True)(trained, copies)
        for name, old in statistics.items():
            old.copy_(changed[name])
        return [loss, *gradients.values()]

    def _loss(self, given: Named, statistics: Named, x: Tensor, y: Tensor) -> Tensor:
        """Return the mean loss with these weights; `statistics` change as in the forward pass."""
        with self.precision.forward():
            outputs = functional_call(self.model, {**given, **statistics}, (x,))
            return self.criterion(outputs, y)  # type: ignore[no-any-return]
