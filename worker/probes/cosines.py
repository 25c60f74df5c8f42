"""Which way successive gradients point: -1 is bouncing from wall to wall, 1 is creeping along a valley's floor."""

import torch
from torch import Tensor

from service.spec.probes import Probe_
from worker.probes.layers import Layers, dense, flats
from worker.probes.watching import Observed, Readings, Watcher

BUFFERS = ("momentum_buffer", "exp_avg", "mean")  # what optimizers call their running mean of gradients


class Cosines(Watcher):
    """cosine/gradient of steps t and t - 1, so it is called one step early; cosine/momentum with the new buffer.

    After a resume the gradient before is not there, and the first cosine/gradient may be left out.
    """

    def __init__(self, component: Probe_) -> None:
        super().__init__(component)
        self._kept: tuple[int, list[Tensor]] = (0, [])  # the step and its gradient
        self._found: Readings = {}

    def begin(self, training: Observed) -> None:
        """Once: whose gradients there are."""
        self._layers = Layers(training.model)

    def next(self, step: int) -> int:
        """The step before a look, to keep its gradient, and the look."""
        look = super().next(step)
        return look - 1 if look - 1 > step else look

    def before(self, training: Observed, step: int) -> None:
        """Compare where this step is due, keep where the next one is."""
        looks, keeps = super().next(step - 1) == step, super().next(step) == step + 1
        gradient = flats(self._layers.gradients())
        at, kept = self._kept
        self._kept, self._found = (0, []), {}
        if looks and at == step - 1 and kept:
            self._found = {"cosine/gradient": cosine(gradient, kept)}
        if keeps and step < self.total:
            # one copy is one already; the views of many tensors are not
            self._kept = (
                step,
                gradient if len(gradient) < len(self._layers.parameters) else [g.clone() for g in gradient],
            )

    def after(self, training: Observed, step: int) -> Readings:
        """The momentum holds this step's gradient already."""
        found, self._found = self._found, {}
        if super().next(step - 1) != step:
            return {}
        pairs = list(buffers(training))
        if pairs:
            found["cosine/momentum"] = cosine(flats([m for m, _ in pairs]), flats([g for _, g in pairs]))
        return found


def buffers(training: Observed) -> "list[tuple[Tensor, Tensor]]":
    """The momentum and the gradient of each parameter that has both."""
    found = []
    for optimizer in training.optimizers:
        for p, state in optimizer.state.items():
            momentum = next((state[name] for name in BUFFERS if isinstance(state.get(name), Tensor)), None)
            if momentum is not None and p.grad is not None and momentum.shape == p.shape:
                found.append((momentum, dense(p.grad)))
    return found


def cosine(one: list[Tensor], other: list[Tensor]) -> Tensor:
    """a b / (|a| |b|), of vectors in pieces; 0 where one of them is 0."""
    sums = torch.stack([torch.stack((a @ b, a @ a, b @ b)) for a, b in zip(one, other, strict=True)]).double().sum(0)
    size = (sums[1] * sums[2]).sqrt()
    return torch.where(size > 0, sums[0] / size, torch.zeros_like(size))
