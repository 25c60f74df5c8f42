"""Cosines of successive gradients: -1 means bouncing between walls, 1 creeping along a valley floor."""

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
        self._found: Metrics = {}

    def next_step(self, step: int) -> int:
        """Return the step before a measurement too, to keep its gradient."""
        due = super().next_step(step)
        return due - 1 if due - 1 > step else due

    def after_backward(self, training: ProbedStep, step: int) -> None:
        """Compare with the kept gradient if this step is due; keep the gradient if the next one is."""
        gradient = self.layers.gradient()
        at, kept = self._kept
        self._kept, self._found = (0, []), {}
        same = [each.shape for each in kept] == [each.shape for each in gradient]  # else a group was unfrozen
        if self.measures(step) and at == step - 1 and same:
            self._found = {"cosine/gradient": cosine(gradient, kept)}
        if self.measures(step + 1) and step < self.total:
            self._kept = (step, gradient)

    def after_update(self, training: ProbedStep, step: int) -> Metrics:
        """Return the cosines; the momentum contains this step's gradient already."""
        found, self._found = self._found, {}
        if not self.measures(step):
            return {}
        there = [buffer_of(training, p) for p in self.layers.parameters]
        buffers = [buffer for buffer in there if buffer is not None]
        if len(buffers) == len(there):
            found["cosine/momentum"] = cosine(self.layers.flats(buffers), self.layers.gradient())
        elif buffers:
            pieces = self.layers.pieces(self.layers.gradient())
            own = [piece for piece, buffer in zip(pieces, there, strict=True) if buffer is not None]
            found["cosine/momentum"] = cosine(self.layers.flats(buffers), self.layers.flats(own))
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


def cosine(one: list[Tensor], other: list[Tensor]) -> Tensor:
    """Return a b / (|a| |b|) of vectors in pieces; 0 where one of them is 0."""
    dot = torch.linalg.vecdot
    parts = [torch.stack((dot(a, b), dot(a, a), dot(b, b))) for a, b in zip(one, other, strict=True)]
    sums = torch.stack(parts).double().sum(0)
    size = (sums[1] * sums[2]).sqrt()
    return torch.where(size > 0, sums[0] / size, torch.zeros_like(size))
