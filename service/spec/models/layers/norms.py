"""Normalisations."""

import math
from typing import Annotated, Literal

from pydantic import Field

from service.spec.component import Json
from service.spec.models.layers.base import LayerBase, Shape, ShapeMismatch, Tensors

Momentum = Annotated[
    Annotated[float, Field(gt=0, le=1)] | None,
    Field(description="share of a batch in the running statistics; null: they are the mean of all batches so far"),
]


class NormBase(LayerBase):
    """A normalisation with a trained scale and shift per channel."""

    eps: Annotated[float, Field(gt=0, le=1)] = 1e-5
    affine: bool = Field(True, description="learn a scale and a shift per channel")

    def arguments(self, shape: Shape) -> Json:
        """Add num_features, the number of channels."""
        return super().arguments(shape) | {"num_features": shape[0]}

    def own(self, shape: Shape) -> Tensors:
        """Return weight and bias."""
        return (("weight", (shape[0],)), ("bias", (shape[0],))) if self.affine else ()


class BatchNorm1d(NormBase):
    """Batch normalisation of features or sequences, per channel."""

    ranks = (1, 2)
    layer: Literal["BatchNorm1d"]
    momentum: Momentum = 0.1


class BatchNorm2d(NormBase):
    """Batch normalisation of images, per channel."""

    ranks = (3,)
    layer: Literal["BatchNorm2d"]
    momentum: Momentum = 0.1


class InstanceNormBase(NormBase):
    """Each channel of each row over its positions."""

    def result(self, shape: Shape) -> Shape:
        """Raise `ShapeMismatch` for a single position, which has no spread."""
        if math.prod(shape[1:]) < 2:
            raise ShapeMismatch(f"needs at least 2 positions to normalise over, and gets {list(shape)}")
        return shape


class InstanceNorm1d(InstanceNormBase):
    """Instance normalisation of sequences: each channel of each row."""

    ranks = (2,)
    layer: Literal["InstanceNorm1d"]


class InstanceNorm2d(InstanceNormBase):
    """Instance normalisation of images: each channel of each row."""

    ranks = (3,)
    layer: Literal["InstanceNorm2d"]


class GroupNorm(NormBase):
    """Group normalisation: each group of channels of each row."""

    layer: Literal["GroupNorm"]
    num_groups: Annotated[int, Field(ge=1, le=65_536, description="must divide the number of channels")]

    def result(self, shape: Shape) -> Shape:
        """Raise `ShapeMismatch` unless the groups divide the channels."""
        if shape[0] % self.num_groups:
            raise ShapeMismatch(f"has {self.num_groups} groups, which do not divide {shape[0]} channels")
        return shape

    def arguments(self, shape: Shape) -> Json:
        """Add num_channels, the number of channels."""
        return LayerBase.arguments(self, shape) | {"num_channels": shape[0]}


class LastNormBase(LayerBase):
    """Over the last dimension of each row."""

    def arguments(self, shape: Shape) -> Json:
        """Add normalized_shape, the last dimension."""
        return super().arguments(shape) | {"normalized_shape": shape[-1]}


class LayerNorm(LastNormBase):
    """Layer normalisation over the last dimension."""

    layer: Literal["LayerNorm"]
    eps: Annotated[float, Field(gt=0, le=1)] = 1e-5

    def own(self, shape: Shape) -> Tensors:
        """Return weight and bias."""
        return (("weight", shape[-1:]), ("bias", shape[-1:]))


class RMSNorm(LastNormBase):
    """RMS normalisation over the last dimension."""

    layer: Literal["RMSNorm"]

    def own(self, shape: Shape) -> Tensors:
        """Return the weight."""
        return (("weight", shape[-1:]),)
