"""Sums of units."""

import math

from torch import Tensor, nn

from worker.trainer.models.activations import ACTIVATIONS


class SumOfUnits(nn.Module):
    """y = b + sum_i c_i u(b_i + sum_j w_ij x_j): `inner` has w and b_i, `outer` has c and b."""

    def __init__(self, shape: tuple[int, ...], outputs: int, units: int = 3, unit: str = "sigmoid") -> None:
        super().__init__()
        self.inner = nn.Linear(math.prod(shape), units)
        self.unit = ACTIVATIONS[unit]()
        self.outer = nn.Linear(units, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """x (B, *shape) -> r = b_i + w x (B, units) -> (B, outputs)."""
        y: Tensor = self.outer(self.unit(self.inner(x.flatten(1))))
        return y
