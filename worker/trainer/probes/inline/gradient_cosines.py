"""Cosines of successive gradients: -1 means bouncing between walls, 1 creeping along a valley floor."""

import math
from collections.abc import Sequence
from typing import Self

import torch
from torch import Tensor

from service.spec.probes import ProbeBase
from worker.trainer.metrics import Metrics
from worker.trainer.probes.inline.base import ProbedStep, StepProbe

BUFFERS = ("momentum_buffer", "exp_avg", "mean")  # names of the running mean of gradients


class GradientCosines(StepProbe):
    """cosine/gradient of steps t - 1 and t, so it is also called at t - 1; cosine/momentum with the updated buffer.

    After a resume the previous gradient is missing, so the first cosine/gradient may be left out.
    """

    def __init__(self, component: ProbeBase) -> None:
        super().__init__(component)
        self._kept: tuple[int, list[Tensor]] = (0, [])  # the step and its gradient
        self._previous: list[Tensor] = []  # the gradient that this step's is compared with; empty: none

    def next_step(self, step: int) -> int:
        """Return the step before a measurement too, to keep its gradient."""
        due = super().next_step(step)
        return due - 1 if due - 1 > step else due

    def after_backward(self, training: ProbedStep, step: int) -> None:
        """Compare with the kept gradient if this step is due; keep the gradient if the next one is."""
        gradient = self.layers.gradient()
        at, kept = self._kept
        self._kept, self._previous = (0, []), []
        same = [each.shape for each in kept] == [each.shape for each in gradient]  # else a group was unfrozen
        if self.measures(step) and at == step - 1 and same:
            self._previous = kept
        if self.measures(step + 1) and step < self.total:
            self._kept = (step, gradient)

    def after_update(self, training: ProbedStep, step: int) -> Metrics:
        """Return the cosines; the momentum contains this step's gradient already."""
        previous, self._previous = self._previous, []
        if not self.measures(step):
            return {}
        gradient, vectors = self.layers.gradient(), {"cosine/gradient": previous} if previous else {}
        there = [buffer_of(training, p) for p in self.layers.parameters]
        buffers = [buffer for buffer in there if buffer is not None]
        if len(buffers) == len(there):
            vectors["cosine/momentum"] = self.layers.flats(buffers)
        found: Metrics = dict(zip(vectors, cosines(gradient, list(vectors.values())), strict=True)) if vectors else {}
        if 0 < len(buffers) < len(there):
            pieces = self.layers.pieces(gradient)
            own = [piece for piece, buffer in zip(pieces, there, strict=True) if buffer is not None]
            (found["cosine/momentum"],) = cosines(self.layers.flats(own), [self.layers.flats(buffers)])
        return found

    def join(self, members: Sequence[Self]) -> None:
        """Stack the gradients that the runs have kept."""
        steps = {each._kept[0] for each in members}
        if len(steps) == 1:
            pieces = zip(*(each._kept[1] for each in members), strict=True)
            self._kept = steps.pop(), [torch.stack(own) for own in pieces]

    def keep(self, slots: Sequence[int]) -> None:
        """Keep the gradients of the runs in these slots."""
        self._kept = self._kept[0], [each[list(slots)] for each in self._kept[1]]


def buffer_of(training: ProbedStep, p: Tensor) -> Tensor | None:
    """Return the momentum buffer of a parameter, if its optimizer keeps one."""
    for optimizer in training.optimizers:
        if p in optimizer.state:
            state = optimizer.state[p]
            found = next((state[name] for name in BUFFERS if isinstance(state.get(name), Tensor)), None)
            return found if found is not None and found.shape == p.shape else None
    return None


def dot(a: Tensor, b: Tensor) -> Tensor:
    """Return a b (...) of vectors (..., n); of many a square by their norm, which writes no products to memory."""
    squares = a is b and a.dim() > 1
    found: Tensor = torch.linalg.vector_norm(a, dim=-1).square() if squares else torch.linalg.vecdot(a, b)
    return found


def cosines(one: Sequence[Tensor], others: Sequence[Sequence[Tensor]]) -> list[float | Tensor]:
    """Return a b / (|a| |b|) of a vector and each of the others, all in the same pieces; 0 where one of them is 0."""
    pairs = [(one, one), *(pair for other in others for pair in ((one, other), (other, other)))]
    parts = [torch.stack([dot(a[at], b[at]) for a, b in pairs]) for at in range(len(one))]
    sums = torch.stack(parts).double().sum(0) if len(parts) > 1 else parts[0].double()
    if sums.device.type == "cpu" and sums.dim() == 1:  # a tenth of the time that tensors take
        own, *numbers = sums.tolist()
        both = zip(numbers[::2], numbers[1::2], strict=True)
        return [dot / math.sqrt(own * square) if own * square > 0 else 0.0 for dot, square in both]
    sizes = (sums[0] * sums[2::2]).sqrt()
    return list(torch.where(sizes > 0, sums[1::2] / sizes, 0.0).unbind())
