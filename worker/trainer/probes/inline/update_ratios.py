"""The size of an update relative to the weights: 1e-3 is usual, 1e-6 barely moves, 1 starts over."""

import math
import operator
from functools import reduce

import torch
from torch import Tensor

from service.spec.probes import ProbeBase
from worker.trainer.metrics import Metrics
from worker.trainer.probes.inline.base import ProbedStep, StepProbe
from worker.trainer.probes.inline.layers import compare, count_true


class UpdateRatios(StepProbe):
    """update_ratio, update_ratio/<layer> and underflow_share; the weights' norm is taken before the update."""

    def __init__(self, component: ProbeBase) -> None:
        super().__init__(component)
        self._kept: list[Tensor] = []

    def after_backward(self, training: ProbedStep, step: int) -> None:
        """Copy the weights."""
        self._kept = self.layers.weights()
        self.layers.gradient()  # some optimizers change it while they step

    def after_update(self, training: ProbedStep, step: int) -> Metrics:
        """Return norms of the differences over norms of the weights."""
        kept, self._kept = self._kept, []
        moved = [now - was for now, was in zip(self.layers.flats(self.layers.parameters), kept, strict=True)]
        (weights, weight), (changes, change) = self.layers.norms(kept, moved)
        found: Metrics = {"update_ratio": ratio(changes, weights)}
        found |= {f"update_ratio/{name}": ratio(change[name], weight[name]) for name in change}
        return found | {"underflow_share": underflow_share(moved, self.layers.gradient())}

    def applicable(self, training: ProbedStep, found: Metrics) -> Metrics:
        """Leave out the underflow of a step at a rate of 0."""
        if not any(group["lr"] != 0 for optimizer in training.optimizers for group in optimizer.param_groups):
            found.pop("underflow_share", None)
        return found


def ratio(change: float | Tensor, weight: float | Tensor) -> float | Tensor:
    """Return change / weight; where the weights were all 0: 0 if they stay so, else infinity."""
    if isinstance(change, Tensor) or isinstance(weight, Tensor):
        unchanged = torch.as_tensor((change == 0) & (weight == 0))
        return torch.where(unchanged, 0.0, change / weight)
    if weight == 0:
        return 0.0 if change == 0 else math.inf
    return change / weight


def underflow_share(moved: list[Tensor], gradients: list[Tensor]) -> Tensor:
    """Return the share of entries with a gradient that the update left unchanged by rounding."""
    given = [compare(operator.ne, g, 0) for g in gradients]
    unchanged = [count_true(has & compare(operator.eq, d, 0)) for d, has in zip(moved, given, strict=True)]
    return reduce(torch.add, unchanged) / reduce(torch.add, map(count_true, given)).clamp(min=1)
