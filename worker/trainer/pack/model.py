"""The model and the loss of every member as one function of stacked weights, by `torch.func.vmap`.

vmap turns an affine layer into a batched product, and a convolution into a grouped one: on a CPU by a form of our own.
"""

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.nn.modules.batchnorm import _NormBase

from worker.trainer.metrics import Metrics
from worker.trainer.models.attention import Attention
from worker.trainer.models.objectives import Objective
from worker.trainer.pack.attention import attend
from worker.trainer.pack.batches import PackedBatch
from worker.trainer.pack.convolution import fold_members
from worker.trainer.pack.losses import loss_terms, losses_of_members
from worker.trainer.pack.randomness import ALL, MemberDropout, MemberRandom, Part
from worker.trainer.pack.recurrent import unrolled
from worker.trainer.pack.stack import Stack
from worker.trainer.probes.inline.base import StepProbe

Named = Mapping[str, Tensor]
Observed = dict[StepProbe, Metrics]
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
        self.part = Part()
        self._on_cpu = next(models[0].parameters()).device.type == "cpu"
        self._adapt()

    def _adapt(self) -> None:
        """Give the skeleton the members' random states and rates."""
        if isinstance(self.skeleton, Objective):
            self.skeleton.noise = 0.0
        for path, module in list(self.skeleton.named_modules()):
            if isinstance(module, nn.Dropout | MemberDropout):
                rates = [rate_of(model.get_submodule(path)) for model in self.models]
                parent, _, name = path.rpartition(".")
                setattr(self.skeleton.get_submodule(parent), name, MemberDropout(rates, self.random, self.part))
            elif isinstance(module, Attention):
                module.attend = attend
            elif isinstance(module, nn.RNNBase):
                rates = [rate_of(model.get_submodule(path)) for model in self.models]
                dropout = MemberDropout(rates, self.random, self.part) if any(rates) else None
                vars(module)["forward"] = unrolled(module, dropout)
            elif self._on_cpu:
                fold_members(module)
        self._losses = loss_terms(self.criteria)

    def keep(self, slots: Sequence[int]) -> None:
        """Keep the members in these slots."""
        self.models = [self.models[slot] for slot in slots]
        self.random = [self.random[slot] for slot in slots]
        self.criteria = [self.criteria[slot] for slot in slots]
        for stack in self._buffers.values():
            stack.keep(slots)
        self._noises = [self._noises[slot] for slot in slots]
        self._adapt()

    @contextmanager
    def only(self, slots: slice) -> Iterator[None]:
        """Let weights and batches be those of the members in these slots inside."""
        self.part.slots = slots
        try:
            yield
        finally:
            self.part.slots = ALL

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
        slots = self.part.slots
        terms = [
            losses_of_members(criterion, outputs, batch) * (share[slots] if isinstance(share, Tensor) else share)
            for criterion, share in self._losses
        ]
        found: Tensor = sum(terms[1:], terms[0])
        return found

    def _statistics(self) -> dict[str, Tensor]:
        by_type = {kind: iter(stack.parts()) for kind, stack in self._buffers.items()}
        own = dict(self.models[0].named_buffers())
        return {name: next(by_type[own[name].dtype])[self.part.slots] for name in self._changing}

    def _noise(self, weights: Named) -> Tensor:
        """Return a term (R,) of value 0 whose gradient is each objective's noise."""
        x = weights["x"]
        noise = torch.zeros_like(x, requires_grad=False)
        slots = self.part.slots
        for row, size, random in zip(noise, self._noises[slots], self.random[slots], strict=True):
            if size:
                row.copy_(torch.randn(row.shape, generator=random.generator, device=row.device) * size)
        return (noise * (x - x.detach())).sum(1)


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
