"""Outputs of activations as the step computes them: dead units and saturated units.

Hooks are on the modules only during a due step. With accumulation, the pieces count as one batch. A module called
several times in one forward pass is measured the first time.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from service.spec.probes import ProbeBase
from worker.trainer.metrics import Metrics
from worker.trainer.models.activations import Hardsigmoid
from worker.trainer.probes.inline.base import ProbedStep, StepProbe
from worker.trainer.probes.inline.layers import spread_evenly

SATURATED = 0.01  # distance from a limit
RELUS = (nn.ReLU, nn.ReLU6)
LIMITS: dict[type[nn.Module], tuple[float, float]] = {
    nn.Sigmoid: (0.0, 1.0),
    nn.Hardsigmoid: (0.0, 1.0),
    Hardsigmoid: (0.0, 1.0),
    nn.Tanh: (-1.0, 1.0),
    nn.Hardtanh: (-1.0, 1.0),
    nn.Softsign: (-1.0, 1.0),
}
ACTIVATIONS: tuple[type[nn.Module], ...] = (
    *RELUS,
    *LIMITS,
    *(nn.Softmax, nn.LogSoftmax, nn.LeakyReLU, nn.PReLU, nn.RReLU, nn.ELU, nn.SELU, nn.CELU, nn.GELU, nn.SiLU),
    *(nn.Softplus, nn.Mish, nn.Hardswish, nn.Threshold),
)
WEIGHTED = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.RNNBase)
IN_FRONT = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)  # units along dim 1


class MeasuredModule(NamedTuple):
    """A module whose output is measured."""

    name: str
    module: nn.Module
    unit: int  # the dimension along which its units lie
    relu: bool
    limits: tuple[float, float] | None
    softmax: bool


class Sums:
    """Running sums over one module's outputs, over the pieces of a batch."""

    def __init__(self) -> None:
        self.n = 0
        self.total: Tensor | float = 0.0
        self.squares: Tensor | float = 0.0
        self.alive: Tensor | None = None  # by unit
        self.full: Tensor | float = 0.0
        self.asked = 0  # outputs, or rows of a softmax, that could saturate

    def add(self, measured: MeasuredModule, out: Tensor) -> None:
        """Add the output of one piece."""
        out = out.detach().to(torch.promote_types(out.dtype, torch.float32))
        n, before = out.numel(), self.n
        mean = out.mean()
        variance = torch.linalg.vector_norm(out - mean).square() / n  # ten times as fast as var_mean on a CPU
        if not before:
            self.total, self.squares = mean, variance
        else:  # combine two parts (Chan et al. 1983)
            share, apart = n / (before + n), mean - self.total
            self.squares = self.squares + (variance - self.squares) * share + apart * apart * share * (1 - share)
            self.total = self.total + apart * share
        self.n = before + n
        if measured.relu and out.dim() > 1:
            rest = [d for d in range(out.dim()) if d != measured.unit % out.dim()]
            largest = out.amax(rest)
            self.alive = largest if self.alive is None else torch.maximum(self.alive, largest)
        if measured.softmax:
            self.full, self.asked = self.full + (out.amax(-1) > 1 - SATURATED).sum(), self.asked + n // out.shape[-1]
        elif measured.limits is not None:
            low, high = measured.limits
            inside = (out > low + SATURATED) & (out < high - SATURATED)
            self.full, self.asked = self.full + (n - inside.sum()), self.asked + n

    def readings(self, name: str) -> Iterator[tuple[str, float | Tensor]]:
        """Yield mean, std, and the shares that apply to this module."""
        yield f"activation/mean/{name}", self.total
        yield f"activation/std/{name}", torch.as_tensor(self.squares).sqrt()
        if self.alive is not None:
            yield f"dead_share/{name}", (self.alive == 0).float().mean()
        if self.asked:
            yield f"saturated_share/{name}", self.full / self.asked


class Activations(StepProbe):
    """activation/mean, activation/std, dead_share and saturated_share, each /<path of the module>."""

    hooks = True  # needs a forward pass with modules: not a compiled one

    def __init__(self, component: ProbeBase) -> None:
        super().__init__(component)
        self._hooks: list[RemovableHandle] = []
        self._sums: dict[str, Sums] = {}
        self._called: set[str] = set()  # in this forward pass
        self._failed: Exception | None = None

    @property
    def modules(self) -> Sequence[str]:
        """Paths of the modules that are measured."""
        return list(self._modules)

    def begin(self, training: ProbedStep) -> None:
        """Choose the modules to measure."""
        modules = list(measured_modules(training.model))
        self._modules = {modules[at].name: modules[at] for at in spread_evenly(len(modules))}

    def before_forward(self, training: ProbedStep, step: int) -> None:
        """Put the hooks on."""
        self._sums, self._failed = {}, None
        model = training.model
        self._hooks = [model.register_forward_pre_hook(lambda module, given: self._called.clear())]
        self._hooks += [each.module.register_forward_hook(self._hook(path)) for path, each in self._modules.items()]

    def _hook(self, path: str) -> Any:
        def hook(module: nn.Module, given: Any, out: Any) -> None:
            if path in self._called or self._failed is not None:
                return
            self._called.add(path)
            try:
                with torch.no_grad():
                    self.see(path, out)
            except (RuntimeError, TypeError, AttributeError) as error:
                self._failed = error  # raised in after_update, where it does not end the training

        return hook

    def see(self, path: str, out: Any) -> None:
        """Add a module's output."""
        self._sums.setdefault(path, Sums()).add(self._modules[path], out[0] if isinstance(out, tuple) else out)

    def remove_hooks(self) -> None:
        """Take the hooks off."""
        for hook in self._hooks:
            hook.remove()
        self._hooks = []

    def after_update(self, training: ProbedStep, step: int) -> Metrics:
        """Return the values."""
        return self.forward_values()

    def forward_values(self) -> Metrics:
        """Return the values, in the order of the modules."""
        sums, self._sums = self._sums, {}
        if self._failed is not None:
            raise self._failed
        return {name: value for path, each in sums.items() for name, value in each.readings(path)}


def measured_modules(model: nn.Module) -> Iterator[MeasuredModule]:
    """Yield activations and the last layer; if a model calls activations as functions, all weighted layers."""
    modules = [(path or "model", module) for path, module in model.named_modules() if not list(module.children())]
    weighted = [path for path, module in modules if isinstance(module, WEIGHTED)]
    wanted = {path for path, module in modules if isinstance(module, ACTIVATIONS)}
    if not wanted:
        wanted = set(weighted)
    wanted |= set(weighted[-1:])
    wanted |= {path for path, module in modules if isinstance(module, nn.RNN)}
    unit = -1
    for path, module in modules:
        if isinstance(module, IN_FRONT):
            unit = 1
        elif list(module.parameters(recurse=False)):
            unit = -1
        if path in wanted:
            kind = getattr(module, "nonlinearity", "") if isinstance(module, nn.RNN) else ""
            limits = LIMITS.get(type(module), (-1.0, 1.0) if kind == "tanh" else None)
            if isinstance(module, nn.Hardtanh) and not isinstance(module, nn.ReLU6):
                limits = (module.min_val, module.max_val)
            relu = isinstance(module, RELUS) or kind == "relu"
            yield MeasuredModule(path, module, -1 if kind else unit, relu, limits, isinstance(module, nn.Softmax))
