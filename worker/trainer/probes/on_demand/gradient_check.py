"""The check of the gradient against finite differences of the loss, in float64."""

import math

import torch
from torch import Tensor

from service.spec.probes import on_demand
from worker.trainer.probes.lanczos import random_start
from worker.trainer.probes.measurement import Instrument, Measurement, ProbedTraining, as_json, rounded
from worker.trainer.probes.model_copy import ModelCopy, norm

STEP = 1e-6  # times 1 + the largest weight: balances truncation and rounding in float64
TOLERANCE = 1e-5  # relative error
ENTRIES = 4  # single entries checked per tensor, beside the random directions


class GradientCheck(Instrument[on_demand.GradientCheck]):
    """(L(theta + h d) - L(theta - h d)) / 2h against g d, along random directions and single entries.

    An error far above 1e-5 means that a layer's backward is not the derivative of its forward: a custom function, a
    detached tensor, a value changed in place. At a kink (ReLU at exactly 0) both may be right and differ. Cost: a
    gradient, and two forward passes of 0.4 gradients per direction and entry.
    """

    def measure(self, training: ProbedTraining) -> Measurement:
        """Find the largest relative error, and the tensor it is in."""
        copy = ModelCopy.of(training, self.component, dtype=torch.float64)
        slope = copy.gradient()
        h = STEP * (1 + float(copy.theta().abs().max()))
        along = [
            self._error(copy, slope, random_start(copy.n, slope, seed), h) for seed in range(self.component.directions)
        ]
        single = {name: self._single(copy, slope, i, h) for i, name in enumerate(copy.names)}
        worst = max(single, key=single.__getitem__)
        largest = max(*along, single[worst])
        passed = TOLERANCE if copy.dtype == torch.float64 else math.sqrt(torch.finfo(copy.dtype).eps)
        data = as_json(
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
            twin=copy.describe(),
        )
        return Measurement({"gradient_check/error": largest}, data)

    def _error(self, copy: ModelCopy, slope: Tensor, direction: Tensor, h: float) -> float:
        """Return the error relative to the gradient's length: a slope near 0 along `direction` does no harm."""
        unit = direction / direction.norm()
        ahead, behind = copy.along(unit, (h, -h))
        size = max(norm(slope) / copy.n**0.5, torch.finfo(copy.dtype).tiny ** 0.5)
        floor = torch.finfo(copy.dtype).eps * max(abs(ahead), abs(behind)) / h  # from rounding alone
        error = abs((ahead - behind) / (2 * h) - float(slope @ unit))
        return float(max(0.0, error - floor) / max(size, floor))

    def _single(self, copy: ModelCopy, slope: Tensor, i: int, h: float) -> float:
        """Return the largest error over a few entries of tensor `i`: the steepest, and others evenly spread."""
        first = sum(p.numel() for p in copy.parameters[:i])
        count = copy.parameters[i].numel()
        steep = int(slope[first : first + count].abs().argmax())
        chosen = {steep, *torch.linspace(0, count - 1, min(ENTRIES, count)).long().tolist()}
        errors = []
        for at in sorted(chosen):
            unit = torch.zeros_like(slope)
            unit[first + at] = 1
            errors.append(self._error(copy, slope, unit, h))
        return max(errors)
