"""Fully connected models, and sums of units; rows of any shape are flattened first."""

import math
from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from service.spec.component import Share, Width
from service.spec.models.base import ModelBase
from service.spec.models.leaf import ACTIVATIONS, Activation, Leaf, affine, dropout, scaling

NORMS = {"batch": "BatchNorm1d", "layer": "LayerNorm", "rms": "RMSNorm"}


class Linear(ModelBase):
    """Linear model: linear regression, or softmax regression with cross_entropy."""

    target = "worker.trainer.models.mlp:linear"
    ranks = (1, 2, 3)
    formula = "W x + b"

    kind: Literal["linear"] = "linear"
    bias: bool = Field(True, description="add a bias")

    def leaves(self, shape: tuple[int, ...], outputs: int) -> Iterator[Leaf]:
        """Yield one affine map, as an mlp without hidden layers has."""
        yield affine("layers.0", math.prod(shape), outputs, self.bias, 0)


class SumOfUnits(ModelBase):
    """One hidden layer of sigmoids, hard sigmoids or ReLUs, and a linear output: a sum of simple curves."""

    target = "worker.trainer.models.sum_of_units:SumOfUnits"
    ranks = (1, 2, 3)
    formula = "y = b + sum_i c_i u(b_i + sum_j w_ij x_j)"

    kind: Literal["sum_of_units"] = "sum_of_units"
    units: Annotated[Width, Field(description="number of hidden units")] = 3
    unit: Literal["sigmoid", "hardsigmoid", "relu"] = Field("sigmoid", description="activation of the hidden units")

    def leaves(self, shape: tuple[int, ...], outputs: int) -> Iterator[Leaf]:
        """Yield `inner` with w and b_i, the units, and `outer` with c and b."""
        yield affine("inner", math.prod(shape), self.units, True, 0)
        yield Leaf("unit", ACTIVATIONS[self.unit], (self.units,))
        yield affine("outer", self.units, outputs, True, 1)


class MLP(ModelBase):
    """Multilayer perceptron: linear, normalisation, activation and dropout per hidden layer, then a linear output."""

    target = "worker.trainer.models.mlp:MLP"
    ranks = (1, 2, 3)

    kind: Literal["mlp"] = "mlp"
    hidden: Annotated[tuple[Width, ...], Field(max_length=100, description="units of each hidden layer")] = (64,)
    activation: Activation = "relu"
    norm: Literal["none", "batch", "layer", "rms"] = Field("none", description="normalisation in each hidden layer")
    dropout: Share = Field(0.0, description="dropout probability")
    bias: bool = Field(True, description="add a bias in each linear layer")

    def leaves(self, shape: tuple[int, ...], outputs: int) -> Iterator[Leaf]:
        """Yield the leaves of one nn.Sequential named `layers`."""
        width, at = math.prod(shape), 0
        for depth, units in enumerate(self.hidden):
            yield affine(f"layers.{at}", width, units, self.bias, depth)
            if self.norm != "none":
                at += 1
                yield scaling(f"layers.{at}", NORMS[self.norm], units, (units,), depth)
            yield Leaf(f"layers.{at + 1}", ACTIVATIONS[self.activation], (units,))
            if self.dropout:
                at += 1
                yield dropout(f"layers.{at + 1}", (units,))
            width, at = units, at + 2
        yield affine(f"layers.{at}", width, outputs, self.bias, len(self.hidden))
