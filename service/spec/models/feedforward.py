"""Fully connected models, and sums of units; rows of any shape are flattened first."""

import math
from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from service.errors import Problem
from service.spec.component import Default, Json, Part, Share, Width
from service.spec.layout import CodedFeature
from service.spec.models.base import ModelBase
from service.spec.models.leaf import ACTIVATIONS, Activation, Leaf, affine, dropout, scaling

CODE = 2  # float32 in an int64
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


class Embedding(Part):
    """A feature of codes, which becomes `width` learned numbers, one row of a table for each code."""

    position: Annotated[int, Field(ge=0, le=65_535, description="of the feature in a row, from 0")]
    codes: Annotated[int, Field(ge=2, le=65_536, description="number of codes; 0 stands for unknown categories")]
    width: Width


def usual_width(codes: int) -> int:
    """Return the width of an embedding that fast.ai's rule has, at most 50 (github.com/fastai/fastai, emb_sz_rule)."""
    return min(50, round(1.6 * math.pow(codes, 0.56)))


class MLP(ModelBase):
    """Multilayer perceptron: linear, normalisation, activation and dropout per hidden layer, then a linear output.

    Codes of categories are embedded first, and the learned numbers follow the others (Guo & Berkhahn 2016,
    arXiv:1604.06737).
    """

    target = "worker.trainer.models.mlp:MLP"
    ranks = (1, 2, 3)

    kind: Literal["mlp"] = "mlp"
    hidden: Annotated[tuple[Width, ...], Field(max_length=100, description="units of each hidden layer")] = (64,)
    activation: Activation = "relu"
    norm: Literal["none", "batch", "layer", "rms"] = Field("none", description="normalisation in each hidden layer")
    dropout: Share = Field(0.0, description="dropout probability")
    bias: bool = Field(True, description="add a bias in each linear layer")
    embeddings: Annotated[tuple[Embedding, ...], Field(max_length=10_000)] = Field(
        (), description="embedded features; if omitted, those that the step `embed` of the dataset makes"
    )

    def kwargs(self) -> Json:
        """Return the fields, with embeddings as dictionaries, which the program of a model taken home has too."""
        return super().kwargs() | {"embeddings": tuple(each.model_dump() for each in self.embeddings)}

    def code_defaults(self, coded: tuple[CodedFeature, ...]) -> Iterator[Default]:
        """Yield an embedding of the usual width for each coded feature."""
        found = tuple(Embedding(position=p, codes=codes, width=usual_width(codes)) for p, codes, _ in coded)
        widths = ", ".join(f"{name} {each.width}" for (_, _, name), each in zip(coded[:5], found[:5], strict=True))
        yield Default("embeddings", found, f"an embedding of each feature of codes; widths: {widths}.")

    def code_problems(self, coded: tuple[CodedFeature, ...]) -> Iterator[Problem]:
        """Yield coded features that are not embedded once, and embeddings of others."""
        needed = {each.position: each for each in coded}
        given = [each.position for each in self.embeddings]
        for at, each in enumerate(self.embeddings):
            if (feature := needed.get(each.position)) is None:
                known = f"positions {', '.join(map(str, list(needed)[:5]))}" if needed else "no feature"
                detail = f"the feature at {each.position} is no code: the step embed of /dataset makes {known} one."
                yield Problem(f"/embeddings/{at}/position", "contradiction", detail)
            elif each.position in given[:at]:
                yield Problem(f"/embeddings/{at}/position", "repeated", "embed each feature once.")
            elif each.codes != feature.codes:
                detail = f"the feature {feature.name} has {feature.codes} codes: set this to {feature.codes}."
                yield Problem(f"/embeddings/{at}/codes", "contradiction", detail, feature.codes)
        if lacking := [each for each in coded if each.position not in given]:
            detail = f"lacks the feature {lacking[0].name}, at position {lacking[0].position}: embed it, or omit this."
            yield Problem("/embeddings", "contradiction", detail)

    def leaves(self, shape: tuple[int, ...], outputs: int) -> Iterator[Leaf]:
        """Yield the embeddings, which keep their codes, and the leaves of one nn.Sequential named `layers`."""
        numbers, first, at = math.prod(shape) - len(self.embeddings), len(self.embeddings), 0
        for place, each in enumerate(self.embeddings):
            kept = CODE + (0 if place else numbers)  # beside the learned numbers
            own = (("weight", (each.codes, each.width)),)
            yield Leaf(f"embeddings.{place}", "Embedding", (each.width,), own, place, extra=kept)
        width = numbers + sum(each.width for each in self.embeddings)
        for depth, units in enumerate(self.hidden, first):
            yield affine(f"layers.{at}", width, units, self.bias, depth)
            if self.norm != "none":
                at += 1
                yield scaling(f"layers.{at}", NORMS[self.norm], units, (units,), depth)
            yield Leaf(f"layers.{at + 1}", ACTIVATIONS[self.activation], (units,))
            if self.dropout:
                at += 1
                yield dropout(f"layers.{at + 1}", (units,))
            width, at = units, at + 2
        yield affine(f"layers.{at}", width, outputs, self.bias, first + len(self.hidden))
