"""The way that the weights took, on the plane that holds most of it (Li et al. 2018, arXiv:1712.09913, section 7)."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from worker.trainer.probes.directions import axis, grid
from worker.trainer.probes.measurement import Measurement, ProbedTraining, document, rounded
from worker.trainer.probes.model_copy import ModelCopy, flat

Weights = Mapping[str, Tensor]
MARGIN = 0.2  # of the path's extent, around it
NUMBERS = 2**27  # of remembered weights at most; every second place is forgotten beyond


class Kept(NamedTuple):
    """The model's part of a checkpoint: names as in `state_dict`."""

    step: int
    weights: Weights


class Trajectory:
    """Principal components of the places passed, seen from the newest; the share of the variance each explains.

    The places are the kept checkpoints that it is given, and those of its own earlier looks. Paths in many dimensions
    look like Lissajous figures on their principal plane even when they are random (Antognini & Sohl-Dickstein 2018,
    arXiv:1806.08805). Cost: points^2 forward passes of 0.4 gradients, and one for each place.
    """

    needs: ClassVar[str] = "kept"  # what a caller may give beside the component

    def __init__(self, component: Any, kept: Sequence[Kept] = ()) -> None:
        self.rows: int = component.rows
        self.norms = component.batch_norm
        self.points: int = component.points
        self.kept = kept
        self.passed: dict[int, Tensor] = {}  # step -> weights (n,) on the host

    def measure(self, training: ProbedTraining) -> Measurement:
        """Each place on the plane with its loss, and the losses around."""
        twin = ModelCopy(training, self.rows, self.norms)
        self._pass(training.step, twin)
        steps = sorted(self.passed)
        if len(steps) < 3:  # later looks may have more
            return Measurement(
                {}, {"steps": steps, "why": "a plane needs three places: keep checkpoints (checkpoint.keep_every)"}
            )
        here = twin.theta()
        path = torch.stack([self.passed[step].to(here) for step in steps]) - here
        across, up, explained = principal(path)
        x, y = path @ across, path @ up
        xs, ys = _around(x, self.points), _around(y, self.points)
        losses = grid(twin, here, across, up, xs, ys)
        at = [twin.value(here + place) for place in path]
        on_plane = [twin.value(here + a * across + b * up) for a, b in zip(x.tolist(), y.tolist(), strict=True)]
        twin.put(here)
        data = document(
            steps=steps,
            x=rounded(x),
            y=rounded(y),
            losses=rounded(at),
            losses_on_plane=rounded(on_plane),
            explained=rounded(explained[:10]),
            grid={"x": rounded(xs), "y": rounded(ys), "losses": losses},
            twin=twin.described(),
        )
        return Measurement({"trajectory/explained": float(explained[:2].sum())}, data)

    def _pass(self, step: int, twin: ModelCopy) -> None:
        """Remember where it is now, and what it was given."""
        for kept in self.kept:
            if kept.step not in self.passed:
                self.passed[kept.step] = vector_of(kept.weights, twin).float().cpu()
        self.passed[step] = twin.theta().float().cpu()
        most = max(3, min(60, NUMBERS // twin.n))
        while len(self.passed) > most:
            for old in sorted(self.passed)[1:-1:2]:
                del self.passed[old]


def principal(path: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Two orthonormal directions (n,) of the centred path (T, n), and the share of the variance of each component."""
    _, sizes, directions = torch.linalg.svd(path - path.mean(0), full_matrices=False)
    total = (sizes**2).sum()
    return directions[0], directions[1], sizes**2 / total if total > 0 else sizes


def vector_of(weights: Weights, twin: ModelCopy) -> Tensor:
    """A checkpoint's weights as a point of the twin (n,). KeyError and ValueError: another model's."""
    parts = [weights[name] for name in twin.names]
    for name, part, p in zip(twin.names, parts, twin.parameters, strict=True):
        if part.shape != p.shape:
            raise ValueError(f"{name} is {list(part.shape)} there and {list(p.shape)} here")
    return flat([part.to(twin.theta()) for part in parts])


def _around(values: Tensor, points: int) -> list[float]:
    low, high = float(values.min()), float(values.max())
    margin = MARGIN * (high - low or 1.0)
    return axis(low - margin, high + margin, points)
