"""The path of the weights, projected on its principal plane (Li et al. 2018, arXiv:1712.09913, section 7)."""

from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor

from service.spec.probes import on_demand
from worker.trainer.probes.directions import axis, grid
from worker.trainer.probes.measurement import (
    CheckpointWeights,
    Instrument,
    Measurement,
    ProbedTraining,
    as_json,
    rounded,
)
from worker.trainer.probes.model_copy import ModelCopy, flat

MARGIN = 0.2  # of the path's extent, around it
MAX_WEIGHTS = 2**27  # remembered over all points; beyond, every second point is dropped


class Trajectory(Instrument[on_demand.Trajectory]):
    """Principal components of the points passed, relative to the newest, and the variance that each explains.

    The points are the kept checkpoints that it is given and its own earlier measurements. Paths in many dimensions look
    like Lissajous figures on their principal plane even when they are random (Antognini & Sohl-Dickstein 2018,
    arXiv:1806.08805). Cost: points^2 forward passes of 0.4 gradients, and one per point of the path.
    """

    needs: ClassVar[str] = "kept"  # the kept checkpoints, given beside the component

    def __init__(self, component: on_demand.Trajectory, kept: Sequence[CheckpointWeights] = ()) -> None:
        super().__init__(component)
        self.kept = kept
        self.passed: dict[int, Tensor] = {}  # step -> weights (n,) on the host

    def measure(self, training: ProbedTraining) -> Measurement:
        """Return each point on the plane with its loss, and the losses around."""
        copy = ModelCopy.of(training, self.component)
        self._remember(training.step, copy)
        steps = sorted(self.passed)
        if len(steps) < 3:  # there may be more later
            return Measurement(
                {}, {"steps": steps, "why": "a plane needs three points: keep checkpoints (checkpoint.keep_every)"}
            )
        here = copy.theta()
        path = torch.stack([self.passed[step].to(here) for step in steps]) - here
        across, up, explained = principal_directions(path)
        x, y = path @ across, path @ up
        xs, ys = _axis_around(x, self.component.points), _axis_around(y, self.component.points)
        losses = grid(copy, here, across, up, xs, ys)
        at = [copy.value(here + point) for point in path]
        on_plane = [copy.value(here + a * across + b * up) for a, b in zip(x.tolist(), y.tolist(), strict=True)]
        copy.put(here)
        data = as_json(
            steps=steps,
            x=rounded(x),
            y=rounded(y),
            losses=rounded(at),
            losses_on_plane=rounded(on_plane),
            explained=rounded(explained[:10]),
            grid={"x": rounded(xs), "y": rounded(ys), "losses": losses},
            twin=copy.describe(),
        )
        return Measurement({"trajectory/explained": float(explained[:2].sum())}, data)

    def _remember(self, step: int, copy: ModelCopy) -> None:
        """Add the current weights and the given checkpoints to the path."""
        for kept in self.kept:
            if kept.step not in self.passed:
                self.passed[kept.step] = vector_of(kept.weights, copy).float().cpu()
        self.passed[step] = copy.theta().float().cpu()
        most = max(3, min(60, MAX_WEIGHTS // copy.n))
        while len(self.passed) > most:
            for old in sorted(self.passed)[1:-1:2]:
                del self.passed[old]


def principal_directions(path: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return two orthonormal directions (n,) of the centred path (T, n), and each component's share of the variance."""
    _, sizes, directions = torch.linalg.svd(path - path.mean(0), full_matrices=False)
    total = (sizes**2).sum()
    return directions[0], directions[1], sizes**2 / total if total > 0 else sizes


def vector_of(weights: Mapping[str, Tensor], copy: ModelCopy) -> Tensor:
    """Flatten a checkpoint's weights as a point (n,) of the copy; KeyError or ValueError for another model."""
    parts = [weights[name] for name in copy.names]
    for name, part, p in zip(copy.names, parts, copy.parameters, strict=True):
        if part.shape != p.shape:
            raise ValueError(f"{name} is {list(part.shape)} there and {list(p.shape)} here")
    return flat([part.to(copy.theta()) for part in parts])


def _axis_around(values: Tensor, points: int) -> list[float]:
    low, high = float(values.min()), float(values.max())
    margin = MARGIN * (high - low or 1.0)
    return axis(low - margin, high + margin, points)
