"""The gradient against finite differences of the loss, in float64."""

import math
from typing import Any

import torch
from torch import Tensor

from worker.trainer.probes.lanczos import random_start
from worker.trainer.probes.measurement import Measurement, ProbedTraining, document, rounded
from worker.trainer.probes.model_copy import ModelCopy, norm

STEP = 1e-6  # times 1 + the largest weight: balances truncation and rounding in float64
PASSED = 1e-5  # relative error
NUMBERS = 4  # single parameters a tensor, beside the random directions


class GradientCheck:
    """(L(theta + h d) - L(theta - h d)) / 2h against g d, along random directions and along single numbers.

    An error far above 1e-5 means that a layer's backward is not its forward's derivative: a custom function, a detached
    tensor, a value changed in place. At a kink (ReLU at exactly 0) both sides may be right and differ. Cost: a
    gradient, and two forward passes of 0.4 for each direction and number.
    """

    def __init__(self, component: Any) -> None:
        self.rows: int = component.rows
        self.norms = component.batch_norm
        self.directions: int = component.directions

    def measure(self, training: ProbedTraining) -> Measurement:
        """The largest relative error, and in which tensor it is."""
        twin = ModelCopy(training, self.rows, self.norms, dtype=torch.float64)
        slope = twin.gradient()
        h = STEP * (1 + float(twin.theta().abs().max()))
        along = [self._error(twin, slope, random_start(twin.n, slope, seed), h) for seed in range(self.directions)]
        single = {name: self._single(twin, slope, i, h) for i, name in enumerate(twin.names)}
        worst = max(single, key=single.__getitem__)
        largest = max(*along, single[worst])
        passed = PASSED if twin.dtype == torch.float64 else math.sqrt(torch.finfo(twin.dtype).eps)
        data = document(
            passed=largest <= passed,
            largest=largest,
            tolerance=passed,
            h=h,
            directions=rounded(along),
            parameters={
                name: float(f"{error:.3g}") for name, error in sorted(single.items(), key=lambda it: -it[1])[:50]
            },
            worst=worst,
            gradient_norm=norm(slope),
            twin=twin.described(),
        )
        return Measurement({"gradient_check/error": largest}, data)

    def _error(self, twin: ModelCopy, slope: Tensor, direction: Tensor, h: float) -> float:
        """Relative to the gradient's own length, so that a slope of 0 across it is no trouble."""
        unit = direction / direction.norm()
        ahead, behind = twin.along(unit, (h, -h))
        size = max(norm(slope) / twin.n**0.5, torch.finfo(twin.dtype).tiny ** 0.5)
        floor = torch.finfo(twin.dtype).eps * max(abs(ahead), abs(behind)) / h  # what rounding alone makes
        error = abs((ahead - behind) / (2 * h) - float(slope @ unit))
        return float(max(0.0, error - floor) / max(size, floor))

    def _single(self, twin: ModelCopy, slope: Tensor, i: int, h: float) -> float:
        """The largest error over a few numbers of one tensor: those with the steepest slopes, evenly from its rest."""
        first = sum(p.numel() for p in twin.parameters[:i])
        count = twin.parameters[i].numel()
        steep = int(slope[first : first + count].abs().argmax())
        chosen = {steep, *torch.linspace(0, count - 1, min(NUMBERS, count)).long().tolist()}
        errors = []
        for at in sorted(chosen):
            unit = torch.zeros_like(slope)
            unit[first + at] = 1
            errors.append(self._error(twin, slope, unit, h))
        return max(errors)
