"""Directions through the weights along which a loss can be drawn, and the losses on a grid of two."""

from typing import NamedTuple

import torch
from torch import Tensor

from worker.trainer.probes.lanczos import extremes, random_start
from worker.trainer.probes.measurement import ProbedTraining, rounded
from worker.trainer.probes.model_copy import ModelCopy, flat
from worker.trainer.probes.saddle_escape import weight_scale
from worker.trainer.probes.scratch_training import next_update


class Direction(NamedTuple):
    """A vector (n,) that is 1 on the axis, from where to where the axis goes, and what its 1 means."""

    vector: Tensor
    first: float
    last: float
    unit: str


def filter_normalised(twin: ModelCopy, seed: int) -> Tensor:
    """A random direction whose every filter is as long as the weights' own (Li et al. 2018, arXiv:1712.09913, eq. 1).

    A filter is a row of a matrix or a kernel of a convolution. Biases and the numbers of normalisations do not move, as
    there: the drawn surface is then the same for networks that differ only in the scale of their layers.
    """
    chance = twin.cut(random_start(twin.n, twin.theta(), seed))
    parts = []
    for weight, drawn in zip(twin.parameters, chance, strict=True):
        if weight.dim() < 2:
            own = weight.dim() == 1 and len(twin.parameters) == 1  # an objective's point is all there is
            parts.append(drawn / drawn.norm() * weight.detach().norm() if own else torch.zeros_like(drawn))
            continue
        filters, wanted = drawn.flatten(1), weight.detach().flatten(1).norm(dim=1, keepdim=True)
        parts.append((filters / filters.norm(dim=1, keepdim=True) * wanted).view_as(drawn))
    return flat(parts)


def direction_of(word: str, training: ProbedTraining, twin: ModelCopy, reach: float | None, seed: int) -> Direction:
    """What the word of a `slice` means; `reach` in the units of its axis, on either side."""
    if word == "random":
        return _about(filter_normalised(twin, seed), reach or 1.0, "the length of each filter")
    if word == "initial":
        back = twin.initial() - twin.theta()
        return Direction(-back, -1 - (reach or 0.25), reach or 0.25, "the way from the first weights: -1 is there")
    if word in ("update", "gradient"):
        update, lr = next_update(training, twin)
        vector = update if word == "update" else -lr * twin.gradient()
        return _about(vector, reach or 5.0, "the next update" if word == "update" else "a plain step of the same rate")
    low, high, _ = ends_of(twin)
    size = weight_scale(twin)
    return _about(size * (low if word == "escape" else high), reach or 0.2, "the length of all weights")


def ends_of(twin: ModelCopy, most: int = 100) -> tuple[Tensor, Tensor, int]:
    """Unit vectors of the least and the largest curvature, and the products they took."""
    start = random_start(twin.n, twin.theta())
    found = extremes(twin.product, start, most, least=min(60, twin.n), low_tolerance=0.1)
    return found.low_vector, found.high_vector, found.products


def _about(vector: Tensor, reach: float, unit: str) -> Direction:
    return Direction(vector, -reach, reach, unit)


def axis(first: float, last: float, points: int) -> list[float]:
    """Evenly spaced, both ends included."""
    found: list[float] = torch.linspace(first, last, points, dtype=torch.float64).tolist()
    return found


def grid(
    twin: ModelCopy, origin: Tensor, across: Tensor, up: Tensor, xs: list[float], ys: list[float]
) -> list[list[float | str]]:
    """Losses at origin + x * across + y * up: a row a y, lowest first. The twin's weights are put back."""
    here = twin.theta()
    rows = [rounded([twin.value(origin + x * across + y * up) for x in xs]) for y in ys]
    twin.put(here)
    return rows
