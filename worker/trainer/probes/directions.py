"""Directions in weight space along which the loss is evaluated, and the losses on a grid of two."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from worker.trainer.probes.lanczos import extremes, random_start
from worker.trainer.probes.measurement import ProbedTraining, rounded
from worker.trainer.probes.model_copy import ModelCopy, flat
from worker.trainer.probes.saddle_escape import weight_scale
from worker.trainer.probes.scratch_training import next_update


class Direction(NamedTuple):
    """A vector (n,) that is one unit of the axis, the range of the axis, and the meaning of the unit."""

    vector: Tensor
    first: float
    last: float
    unit: str


def filter_normalised(copy: ModelCopy, seed: int) -> Tensor:
    """Return a random direction scaled filter by filter to the weights (Li et al. 2018, arXiv:1712.09913, eq. 1).

    A filter is a row of a matrix or a kernel of a convolution. Biases and parameters of normalisations do not move, as
    in the paper: networks that differ only in the scale of their layers have the same surface.
    """
    noise = copy.split(random_start(copy.n, copy.theta(), seed))
    parts = []
    for weight, drawn in zip(copy.parameters, noise, strict=True):
        if weight.dim() < 2:
            own = weight.dim() == 1 and len(copy.parameters) == 1  # an objective's point
            parts.append(drawn / drawn.norm() * weight.detach().norm() if own else torch.zeros_like(drawn))
            continue
        filters, wanted = drawn.flatten(1), weight.detach().flatten(1).norm(dim=1, keepdim=True)
        parts.append((filters / filters.norm(dim=1, keepdim=True) * wanted).view_as(drawn))
    return flat(parts)


def direction_of(word: str, training: ProbedTraining, copy: ModelCopy, reach: float | None) -> Direction:
    """Return the direction named `word` of a `slice`; `reach` is in units of its axis, on either side."""
    if word == "random":
        return _about(filter_normalised(copy, 0), reach or 1.0, "the length of each filter")
    if word == "initial":
        back = copy.initial() - copy.theta()
        return Direction(-back, -1 - (reach or 0.25), reach or 0.25, "the way from the first weights: -1 is there")
    if word in ("update", "gradient"):
        update, lr = next_update(training, copy)
        vector = update if word == "update" else -lr * copy.gradient()
        return _about(vector, reach or 5.0, "the next update" if word == "update" else "a plain step of the same rate")
    low, high = ends_of(copy)
    size = weight_scale(copy)
    return _about(size * (low if word == "escape" else high), reach or 0.2, "the length of all weights")


def own_direction(copy: ModelCopy, given: Mapping[str, Sequence[float]], reach: float | None = None) -> Direction:
    """Return the direction of the given numbers by parameter; raise `ValueError` where they do not fit the model."""
    parts, left = [], dict(given)
    for name, parameter in zip(copy.names, copy.parameters, strict=True):
        numbers = left.pop(name, None)
        if numbers is None:
            parts.append(torch.zeros_like(parameter))
        elif len(numbers) == parameter.numel():
            parts.append(torch.tensor(numbers, dtype=parameter.dtype, device=parameter.device).view_as(parameter))
        else:
            raise ValueError(f"{len(numbers)} numbers for {name}, which has {parameter.numel()}")
    if left:
        raise ValueError(f"the model trains no parameter {next(iter(left))}")
    return _about(flat(parts), reach or 1.0, "the given direction")


def ends_of(copy: ModelCopy) -> tuple[Tensor, Tensor]:
    """Return unit vectors of the smallest and the largest curvature."""
    start = random_start(copy.n, copy.theta())
    found = extremes(copy.product, start, 100, least=min(60, copy.n), low_tolerance=0.1)
    return found.low_vector, found.high_vector


def _about(vector: Tensor, reach: float, unit: str) -> Direction:
    return Direction(vector, -reach, reach, unit)


def axis(first: float, last: float, points: int) -> list[float]:
    """Return evenly spaced points, both ends included."""
    found: list[float] = torch.linspace(first, last, points, dtype=torch.float64).tolist()
    return found


def grid(
    copy: ModelCopy, origin: Tensor, across: Tensor, up: Tensor, xs: list[float], ys: list[float]
) -> list[list[float | str]]:
    """Return losses at origin + x * across + y * up, a row per y, lowest first; the weights are restored."""
    here = copy.theta()
    rows = [rounded([copy.value(origin + x * across + y * up) for x in xs]) for y in ys]
    copy.put(here)
    return rows
