"""The loss on the straight line between two sets of weights (Frankle et al. 2020, arXiv:1912.05671, section 2)."""

import math
from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor

from service.spec.probes import on_demand
from worker.trainer.probes.directions import axis
from worker.trainer.probes.measurement import (
    Instrument,
    Measurement,
    ProbedTraining,
    as_json,
    not_applicable,
    rounded,
)
from worker.trainer.probes.model_copy import ModelCopy
from worker.trainer.probes.on_demand.trajectory import vector_of


class Line(Instrument[on_demand.Line]):
    """The line from these weights to another run's, or to the run's first weights.

    The barrier is how far the loss rises above the higher end: 0 where both lie in one valley. Permuting the hidden
    units of one model changes the line, though not what the model computes. Cost: 0.4 gradients per point.
    """

    needs: ClassVar[str] = "other"  # the weights of that run's checkpoint, where the component names a run

    def __init__(self, component: on_demand.Line, other: Mapping[str, Tensor] | None = None) -> None:
        super().__init__(component)
        self.other = other

    def measure(self, training: ProbedTraining) -> Measurement:
        """Return the losses from 0 (here) to 1 (there), and the barrier."""
        copy = ModelCopy.of(training, self.component)
        if self.component.run is not None and self.other is None:
            return not_applicable("the other run has no kept checkpoint")
        try:
            there = copy.initial() if self.other is None else vector_of(self.other, copy)
        except (KeyError, ValueError) as error:
            return not_applicable(f"the other run has a different model: {error}")
        way, at = there - copy.theta(), axis(0.0, 1.0, self.component.points)
        losses = copy.along(way, at)
        barrier = max(losses) - max(losses[0], losses[-1]) if all(map(math.isfinite, losses)) else math.inf
        data = as_json(
            to=self.component.run or "the beginning",
            at=rounded(at),
            losses=rounded(losses),
            barrier=barrier,
            distance=float(way.norm()),
            twin=copy.describe(),
        )
        return Measurement({"line/barrier": barrier}, data)
