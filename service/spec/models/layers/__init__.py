"""The layers that a sequential model is made of: a closed list."""

from typing import Annotated

from pydantic import Field

from service.spec.models.layers.base import LayerBase, Shape, ShapeMismatch, Tensors
from service.spec.models.layers.norms import (
    BatchNorm1d,
    BatchNorm2d,
    GroupNorm,
    InstanceNorm1d,
    InstanceNorm2d,
    LayerNorm,
    RMSNorm,
)
from service.spec.models.layers.plain import (
    ActivationLayer,
    Dropout,
    EmbeddingLayer,
    Flatten,
    LinearLayer,
    PReLU,
    SoftmaxLayer,
    Unflatten,
)
from service.spec.models.layers.windows import Conv1d, Conv2d, GlobalPool1d, GlobalPool2d, Pool1d, Pool2d

Layer = Annotated[
    LinearLayer
    | Conv1d
    | Conv2d
    | Pool1d
    | Pool2d
    | GlobalPool1d
    | GlobalPool2d
    | BatchNorm1d
    | BatchNorm2d
    | InstanceNorm1d
    | InstanceNorm2d
    | GroupNorm
    | LayerNorm
    | RMSNorm
    | ActivationLayer
    | SoftmaxLayer
    | PReLU
    | Dropout
    | Flatten
    | Unflatten
    | EmbeddingLayer,
    Field(discriminator="layer"),
]

__all__ = ["EmbeddingLayer", "Layer", "LayerBase", "Shape", "ShapeMismatch", "Tensors"]
