"""Which way successive gradients point: -1 is bouncing from wall to wall, 1 is creeping along a valley's floor."""

import torch
from torch import Tensor

from service.spec.probes import ProbeBase
from worker.trainer.metrics import Metrics
from worker.trainer.probes.inline.base import InlineProbe
from worker.trainer.probes.inline.layers import flats
from worker.trainer.probes.measurement import ProbedTraining

BUFFERS = ("momentum_buffer", "exp_avg", "mean")  # what optimizers call their running mean of gradients


class Cosines(InlineProbe):
    """cosine/gradient of steps t and t - 1, so it is called one step early; cosine/momentum with the new buffer.

    After a resume the gradient before is not there, and the first cosine/gradient may be left out.
    """

    def __init__(self, component: ProbeBase) -> None:
        super().__init__(component)
        self._kept: tuple[int, list[Tensor]] = (0, [])  # the step and its gradient
        self._found: Metrics = {}

    def next_step(self, step: int) -> int:
        """The step before a look, to keep its gradient, and the look."""
        look = super().next_step(step)
        return look - 1 if look - 1 > step else look

    def after_backward(self, training: ProbedTraining, step: int) -> None:
        """Compare where this step is due, keep where the next one is."""
        looks, keeps = super().next_step(step - 1) == step, super().next_step(step) == step + 1
        gradient = self.layers.gradient()
        at, kept = self._kept
        self._kept, self._found = (0, []), {}
        if looks and at == step - 1 and kept:
            self._found = {"cosine/gradient": cosine(gradient, kept)}
        if keeps and step < self.total:
            self._kept = (step, gradient)

    def after_update(self, training: ProbedTraining, step: int) -> Metrics:
        """The momentum holds this step's gradient already."""
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
    """The momentum of a parameter, where its optimizer keeps one."""
    for optimizer in training.optimizers:
        if p in optimizer.state:
            state = optimizer.state[p]
            found = next((state[name] for name in BUFFERS if isinstance(state.get(name), Tensor)), None)
            return found if found is not None and found.shape == p.shape else None
    return None


def cosine(one: list[Tensor], other: list[Tensor]) -> Tensor:
    """a b / (|a| |b|), of vectors in pieces; 0 where one of them is 0."""
    sums = torch.stack([torch.stack((a @ b, a @ a, b @ b)) for a, b in zip(one, other, strict=True)]).double().sum(0)
    size = (sums[1] * sums[2]).sqrt()
    return torch.where(size > 0, sums[0] / size, torch.zeros_like(size))
