"""Outputs of activations as the step itself computes them: units that are never on, and units that are always full.

Hooks are on the modules only while a due step runs. With accumulation its pieces count as one batch. A module that is
called several times in one forward pass is measured the first time.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from service.spec.probes import ProbeBase
from worker.trainer.metrics import Metrics
from worker.trainer.models.activations import Hardsigmoid
from worker.trainer.probes.inline.base import InlineProbe
from worker.trainer.probes.inline.layers import chosen
from worker.trainer.probes.measurement import ProbedTraining

NEAR = 0.01  # of a limit
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


class Place(NamedTuple):
    """A module whose output is measured."""

    name: str
    module: nn.Module
    unit: int  # the dimension along which its units lie
    relu: bool
    limits: tuple[float, float] | None
    softmax: bool


class Sums:
    """Of one place, over the pieces of a batch."""

    def __init__(self) -> None:
        self.n = 0
        self.total: Tensor | float = 0.0
        self.squares: Tensor | float = 0.0
        self.alive: Tensor | None = None  # by unit
        self.full: Tensor | float = 0.0
        self.asked = 0  # outputs, or rows of a softmax, that `full` is a part of

    def add(self, place: Place, out: Tensor) -> None:
        """One piece's output."""
        out = out.detach().float()
        n, before = out.numel(), self.n
        variance, mean = torch.var_mean(out, correction=0)
        if not before:
            self.total, self.squares = mean, variance
        else:  # of two parts (Chan et al. 1983)
            share, apart = n / (before + n), mean - self.total
            self.squares = self.squares + (variance - self.squares) * share + apart * apart * share * (1 - share)
            self.total = self.total + apart * share
        self.n = before + n
        if place.relu and out.dim() > 1:
            rest = [d for d in range(out.dim()) if d != place.unit % out.dim()]
            largest = out.amax(rest)
            self.alive = largest if self.alive is None else torch.maximum(self.alive, largest)
        if place.softmax:
            self.full, self.asked = self.full + (out.amax(-1) > 1 - NEAR).sum(), self.asked + n // out.shape[-1]
        elif place.limits is not None:
            low, high = place.limits
            inside = (out > low + NEAR) & (out < high - NEAR)
            self.full, self.asked = self.full + (n - inside.sum()), self.asked + n

    def readings(self, name: str) -> Iterator[tuple[str, float | Tensor]]:
        """mean, std, and the shares that this place has."""
        yield f"activation/mean/{name}", self.total
        yield f"activation/std/{name}", torch.as_tensor(self.squares).sqrt()
        if self.alive is not None:
            yield f"dead_share/{name}", (self.alive == 0).float().mean()
        if self.asked:
            yield f"saturated_share/{name}", self.full / self.asked


class Activations(InlineProbe):
    """activation/mean, activation/std, dead_share and saturated_share, each /<path of the module>."""

    hooks = True  # it sees what passes through the modules

    def __init__(self, component: ProbeBase) -> None:
        super().__init__(component)
        self._hooks: list[RemovableHandle] = []
        self._sums: dict[str, Sums] = {}
        self._called: set[str] = set()  # in this forward pass
        self._failed: Exception | None = None

    def begin(self, training: ProbedTraining) -> None:
        """Once: where to look."""
        places = list(places_of(training.model))
        self._places = [places[at] for at in chosen(len(places))]

    def before_forward(self, training: ProbedTraining, step: int) -> None:
        """Put the hooks on."""
        self._sums, self._failed = {}, None
        model = training.model
        self._hooks = [model.register_forward_pre_hook(lambda module, given: self._called.clear())]
        self._hooks += [place.module.register_forward_hook(self._hook(place)) for place in self._places]

    def _hook(self, place: Place) -> Any:
        def look(module: nn.Module, given: Any, out: Any) -> None:
            if place.name in self._called or self._failed is not None:
                return
            self._called.add(place.name)
            try:
                with torch.no_grad():
                    self._sums.setdefault(place.name, Sums()).add(place, out[0] if isinstance(out, tuple) else out)
            except (RuntimeError, TypeError, AttributeError) as error:
                self._failed = error  # raised where it does not end the training

        return look

    def remove_hooks(self) -> None:
        """Take them off."""
        for hook in self._hooks:
            hook.remove()
        self._hooks = []

    def after_update(self, training: ProbedTraining, step: int) -> Metrics:
        """What was seen, in the order of the places."""
        sums, self._sums = self._sums, {}
        if self._failed is not None:
            raise self._failed
        return {name: value for path, each in sums.items() for name, value in each.readings(path)}


def places_of(model: nn.Module) -> Iterator[Place]:
    """Every activation, and the last layer; where a model calls its activations as functions, every weighted layer."""
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
            yield Place(path, module, -1 if kind else unit, relu, limits, isinstance(module, nn.Softmax))
