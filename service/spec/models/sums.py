"""Sums of units: the curve fit that a network with one hidden layer is, in the plainest form."""

import math
from collections.abc import Iterator
from typing import Literal

from service.spec.component import Width
from service.spec.models.base import ModelBase
from service.spec.models.leaf import ACTIVATIONS, Leaf, affine


class SumOfUnits(ModelBase):
    """A constant and a weighted sum of sigmoids, hard sigmoids or ReLUs of affine functions: a piecewise curve."""

    target = "worker.trainer.models.sum_of_units:SumOfUnits"
    ranks = (1, 2, 3)
    formula = "y = b + sum_i c_i u(b_i + sum_j w_ij x_j)"

    kind: Literal["sum_of_units"] = "sum_of_units"
    units: Width = 3
    unit: Literal["sigmoid", "hardsigmoid", "relu"] = "sigmoid"

    def leaves(self, shape: tuple[int, ...], outputs: int) -> Iterator[Leaf]:
        """`inner` has w and b_i, `outer` has c and b."""
        yield affine("inner", math.prod(shape), self.units, True, 0)
        yield Leaf("unit", ACTIVATIONS[self.unit], (self.units,))
        yield affine("outer", self.units, outputs, True, 1)
