"""Cosines of successive gradients: -1 means bouncing between walls, 1 creeping along a valley floor."""

import torch
from torch import Tensor

from service.spec.probes import ProbeBase
from worker.trainer.metrics import Metrics
from worker.trainer.probes.inline.base import InlineProbe
from worker.trainer.probes.inline.layers import flats
from worker.trainer.probes.measurement import ProbedTraining

BUFFERS = ("momentum_buffer", "exp_avg", "mean")  # names of the running mean of gradients


class GradientCosines(InlineProbe):
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

    def after_backward(self, training: ProbedTraining, step: int) -> None:
        """Compare with the kept gradient if this step is due; keep the gradient if the next one is."""
        measures, keeps = super().next_step(step - 1) == step, super().next_step(step) == step + 1
        gradient = self.layers.gradient()
        at, kept = self._kept
        self._kept, self._found = (0, []), {}
        same = [each.shape for each in kept] == [each.shape for each in gradient]  # else a group was unfrozen
        if measures and at == step - 1 and same:
            self._found = {"cosine/gradient": cosine(gradient, kept)}
        if keeps and step < self.total:
            self._kept = (step, gradient)

    def after_update(self, training: ProbedTraining, step: int) -> Metrics:
        """Return the cosines; the momentum contains this step's gradient already."""
        found, self._found = self._found, {}
        if super().next_step(step - 1) != step:
            return {}
        there = [buffer_of(training, p) for p in self.layers.parameters]
        buffers = [buffer for buffer in there if buffer is not None]
        if len(buffers) == len(there):
            found["cosine/momentum"] = cosine(flats(buffers), self.layers.gradient())
        elif buffers:
            pieces = torch.split(torch.cat(self.layers.gradient()), self.layers.sizes)
            own = [piece for piece, buffer in zip(pieces, there, strict=True) if buffer is not None]
            found["cosine/momentum"] = cosine(flats(buffers), flats(own))
        return found


def buffer_of(training: ProbedTraining, p: Tensor) -> Tensor | None:
    """Return the momentum buffer of a parameter, if its optimizer keeps one."""
    for optimizer in training.optimizers:
        if p in optimizer.state:
            state = optimizer.state[p]
            found = next((state[name] for name in BUFFERS if isinstance(state.get(name), Tensor)), None)
            return found if found is not None and found.shape == p.shape else None
    return None


def cosine(one: list[Tensor], other: list[Tensor]) -> Tensor:
    """Return a b / (|a| |b|) of vectors in pieces; 0 where one of them is 0."""
    sums = torch.stack([torch.stack((a @ b, a @ a, b @ b)) for a, b in zip(one, other, strict=True)]).double().sum(0)
    size = (sums[1] * sums[2]).sqrt()
    return torch.where(size > 0, sums[0] / size, torch.zeros_like(size))
