"""The model and the loss of every member as one function of stacked weights, by `torch.func.vmap`.

vmap turns an affine layer into a batched product, and a convolution into a grouped one.
"""

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.nn.functional import cross_entropy
from torch.nn.modules.batchnorm import _NormBase

from service.spec.probes import ProbeBase
from worker.trainer.metrics import Metrics
from worker.trainer.models.attention import Attention
from worker.trainer.models.objectives import Objective
from worker.trainer.pack.attention import attend
from worker.trainer.pack.batches import PackedBatch
from worker.trainer.pack.randomness import MemberDropout, MemberRandom
from worker.trainer.pack.recurrent import unrolled
from worker.trainer.pack.stack import Stack
from worker.trainer.step.losses import NO_IGNORE_INDEX

Named = Mapping[str, Tensor]
Observed = dict[ProbeBase, Metrics]
Observe = Callable[[], Observed]


class StackedModel:
    """The models of R members, which have the same modules; their buffers that change are stacked."""

    def __init__(
        self, models: Sequence[nn.Module], criteria: Sequence[nn.Module], random: Sequence[MemberRandom]
    ) -> None:
        self.skeleton = copy.deepcopy(models[0]).requires_grad_(requires_grad=False)
        self.models, self.random, self.criteria = list(models), list(random), list(criteria)
        self._changing = changing_buffers(models[0])
        stacked = [[dict(each.named_buffers())[name] for name in self._changing] for each in models]
        self._buffers = {kind: _stack_of(stacked, kind) for kind in {b.dtype for b in stacked[0]}}
        self._fixed = {name: each for name, each in models[0].named_buffers() if name not in self._changing}
        self._noises = [each.noise if isinstance(each, Objective) else 0.0 for each in models]
        self._adapt()

    def _adapt(self) -> None:
        """Give the skeleton the members' random states and rates."""
        if isinstance(self.skeleton, Objective):
            self.skeleton.noise = 0.0
        for path, module in list(self.skeleton.named_modules()):
            if isinstance(module, nn.Dropout | MemberDropout):
                rates = [rate_of(model.get_submodule(path)) for model in self.models]
                parent, _, name = path.rpartition(".")
                setattr(self.skeleton.get_submodule(parent), name, MemberDropout(rates, self.random))
            elif isinstance(module, Attention):
                module.attend = attend
            elif isinstance(module, nn.RNNBase):
                rates = [rate_of(model.get_submodule(path)) for model in self.models]
                dropout = MemberDropout(rates, self.random) if any(rates) else None
                vars(module)["forward"] = unrolled(module, dropout)
        smoothing = [getattr(each, "label_smoothing", 0.0) for each in self.criteria]
        self._losses = _loss_terms(self.criteria[0], smoothing)

    def keep(self, slots: Sequence[int]) -> None:
        """Keep the members in these slots."""
        self.models = [self.models[slot] for slot in slots]
        self.random = [self.random[slot] for slot in slots]
        self.criteria = [self.criteria[slot] for slot in slots]
        for stack in self._buffers.values():
            stack.keep(slots)
        self._noises = [self._noises[slot] for slot in slots]
        self._adapt()

    def outputs(self, weights: Named, batch: PackedBatch, training: bool) -> Tensor:
        """Return the outputs (R, B, ...) with weights (R, ...)."""
        return self.observed(weights, batch, training, dict)[0]

    def losses(self, weights: Named, batch: PackedBatch, observe: Observe = dict) -> tuple[Tensor, Observed]:
        """Return each member's mean loss (R,) in training mode, and what was observed of each, (R, ...)."""
        outputs, observed = self.observed(weights, batch, training=True, observe=observe)
        loss = self.loss_of(outputs, batch)
        return loss + self._noise(weights) if any(self._noises) else loss, observed

    def observed(self, weights: Named, batch: PackedBatch, training: bool, observe: Observe) -> tuple[Tensor, Observed]:
        """Return the outputs, and what `observe` returns after the forward pass of one member."""
        self.skeleton.train(training)

        def forward(weights: Named, statistics: Named, x: Tensor) -> tuple[Tensor, Observed]:
            outputs: Tensor = functional_call(self.skeleton, {**weights, **statistics, **self._fixed}, (x,))
            return outputs, observe()

        rows = None if batch.shared else 0
        return vmap(forward, in_dims=(0, 0, rows))(dict(weights), self._statistics(), batch.x)

    def loss_of(self, outputs: Tensor, batch: PackedBatch) -> Tensor:
        """Return each member's loss (R,) of outputs (R, B, ...)."""
        terms = [loss_of_members(criterion, outputs, batch) * share for criterion, share in self._losses]
        found: Tensor = sum(terms[1:], terms[0])
        return found

    def _statistics(self) -> dict[str, Tensor]:
        by_type = {kind: iter(stack.parts()) for kind, stack in self._buffers.items()}
        own = dict(self.models[0].named_buffers())
        return {name: next(by_type[own[name].dtype]) for name in self._changing}

    def _noise(self, weights: Named) -> Tensor:
        """Return a term (R,) of value 0 whose gradient is each objective's noise."""
        x = weights["x"]
        noise = torch.zeros_like(x, requires_grad=False)
        for row, size, random in zip(noise, self._noises, self.random, strict=True):
            if size:
                row.copy_(torch.randn(row.shape, generator=random.generator, device=row.device) * size)
        return (noise * (x - x.detach())).sum(1)


def loss_of_members(criterion: nn.Module, outputs: Tensor, batch: PackedBatch) -> Tensor:
    """Return each member's mean loss (R,) of outputs (R, B, ...).

    Members are rows of a plain cross entropy, for whose vmap torch would import 3 s of symbolic shapes.
    """
    inner = getattr(criterion, "criterion", criterion)
    if not _is_plain(inner) or batch.y.is_floating_point():
        found: Tensor = vmap(criterion, in_dims=(0, None if batch.shared else 0))(outputs, batch.y)
        return found
    y = batch.y.expand(len(outputs), *batch.y.shape) if batch.shared else batch.y
    smoothing: Any = inner.label_smoothing
    rows = cross_entropy(outputs.flatten(0, -2), y.flatten(), reduction="none", label_smoothing=smoothing)
    return rows.view(len(outputs), -1).mean(1)


def _is_plain(loss: nn.Module) -> bool:
    """Whether a loss is a cross entropy whose mean is over all rows alike."""
    return isinstance(loss, nn.CrossEntropyLoss) and loss.weight is None and loss.ignore_index == NO_IGNORE_INDEX


def rate_of(module: nn.Module) -> float:
    """Return the rate of a member's own dropout, or of that between its recurrent layers."""
    if isinstance(module, nn.RNNBase):
        return module.dropout
    assert isinstance(module, nn.Dropout)
    return module.p


def changing_buffers(model: nn.Module) -> list[str]:
    """Return the names of the buffers that a forward pass changes: running statistics."""
    layers = [(path, each) for path, each in model.named_modules() if isinstance(each, _NormBase)]
    return [
        f"{path}.{name}" if path else name for path, each in layers for name, _ in each.named_buffers(recurse=False)
    ]


def _stack_of(members: Sequence[Sequence[Tensor]], kind: torch.dtype) -> Stack:
    return Stack([[each for each in own if each.dtype == kind] for own in members])


def _loss_terms(criterion: nn.Module, smoothing: Sequence[float]) -> list[tuple[nn.Module, Tensor | float]]:
    """Return losses and the share (R,) of each in the members' losses, which are linear in label smoothing."""
    if len(set(smoothing)) == 1:
        return [(criterion, 1.0)]
    sharp, even = copy.deepcopy(criterion), copy.deepcopy(criterion)
    for each, smoothed in ((sharp, 0.0), (even, 1.0)):
        vars(each)["label_smoothing"] = smoothed
    share = torch.tensor(smoothing)
    return [(sharp, 1 - share), (even, share)]
