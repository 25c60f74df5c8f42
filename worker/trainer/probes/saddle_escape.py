"""The escape from a saddle: a direction, a line search along it, and the measured drop of the loss."""

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor

from worker.trainer.probes.measurement import ProbedTraining, rounded
from worker.trainer.probes.model_copy import ModelCopy, norm

LENGTHS = 13  # from 1e-3 to 1 times the norm of the weights
SHORTER = (1e-4, 1e-5)  # tried where the loss rises at all of those
RANDOM_DIRECTIONS = 16  # tried where the curvature does not decide


class Escape(NamedTuple):
    """A move to theta + length * direction."""

    names: tuple[str, ...]
    shapes: tuple[torch.Size, ...]
    direction: Tensor  # (n,), unit
    length: float
    curvature: float | None  # along it; None: a random direction
    slope: float  # of the loss along it, at most 0
    drop: float  # measured; 0 where no length gave one
    lengths: tuple[float, ...]  # all lengths tried along it
    losses: tuple[float, ...]
    loss: float  # where it starts

    @property
    def predicted(self) -> float | None:
        """The drop that the second-order model predicts."""
        if self.curvature is None:
            return None
        return -self.slope * self.length - 0.5 * self.curvature * self.length**2

    def apply(self, training: ProbedTraining) -> None:
        """Move the training's weights there; optimizer, schedule and row order stay."""
        values = dict(training.model.named_parameters())
        with torch.no_grad():
            parts = torch.split(self.length * self.direction, [shape.numel() for shape in self.shapes])
            for name, shape, part in zip(self.names, self.shapes, parts, strict=True):
                values[name].add_(part.view(shape).to(values[name]))

    def describe(self) -> dict[str, Any]:
        """Return the data of a reading, with the direction's largest shares only: it is as large as the model."""
        return {
            "length": self.length,
            "predicted_drop": self.predicted,
            "measured_drop": self.drop,
            "curvature": self.curvature,
            "slope": self.slope,
            "lengths": rounded(self.lengths),
            "losses": rounded(self.losses),
            "loss": self.loss,
            "random": self.curvature is None,
            "shares": self.shares(),
        }

    def shares(self) -> dict[str, float]:
        """Return the squared share of the direction in each parameter (they sum to 1); the twenty largest."""
        parts = torch.split(self.direction, [shape.numel() for shape in self.shapes])
        found = {name: float(part.double().square().sum()) for name, part in zip(self.names, parts, strict=True)}
        largest = sorted(found, key=lambda name: -found[name])[:20]
        return {name: float(f"{found[name]:.4g}") for name in largest}


def search_escape(copy: ModelCopy, slope: Tensor, direction: Tensor | None, curvature: float) -> Escape:
    """Return the best length along +-direction; with None, along random directions."""
    now, scale = copy.value(), weight_scale(copy)
    if direction is not None:
        return _along(copy, slope, direction, curvature, now, scale)
    generator = torch.Generator().manual_seed(0)
    best: Escape | None = None
    for _ in range(RANDOM_DIRECTIONS):
        noise = torch.randn(copy.n, generator=generator, dtype=torch.float64).to(slope)
        found = _along(copy, slope, noise / noise.norm(), None, now, scale)
        if best is None or found.drop > best.drop:
            best = found
    assert best is not None
    return best


def _along(
    copy: ModelCopy, slope: Tensor, direction: Tensor, curvature: float | None, now: float, scale: float
) -> Escape:
    """Try the descending side first, then the other if nothing drops."""
    slope_along = float(slope @ direction)
    first = -direction if slope_along > 0 else direction
    tried: list[Escape] = []
    for side in (first, -first):
        for lengths in (torch.logspace(-3, 0, LENGTHS, dtype=torch.float64).tolist(), SHORTER):
            steps = [scale * length for length in lengths]
            losses = copy.along(side, steps)
            drops = [now - loss if math.isfinite(loss) else -math.inf for loss in losses]
            best = max(range(len(steps)), key=drops.__getitem__)
            facts = (tuple(copy.names), tuple(p.shape for p in copy.parameters), side, steps[best], curvature)
            drop = max(0.0, drops[best])
            tried.append(Escape(*facts, float(slope @ side), drop, tuple(steps), tuple(losses), now))
            if drop > 0:
                return tried[-1]
    return tried[0]


def weight_scale(copy: ModelCopy) -> float:
    """Return the norm of the weights, or of the first weights; 1 where both are about 0."""
    size = max(norm(copy.theta()), norm(copy.initial()))
    return size if size > 1e-6 else 1.0
