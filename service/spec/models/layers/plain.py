"""Layers without a window: affine maps, activations, dropout, embeddings, and changes of shape."""

import math
from typing import Annotated, Literal

from pydantic import Field

from service.spec.component import Json, Share, Width
from service.spec.models.layers.base import LayerBase, Shape, ShapeMismatch, Tensors


class LinearLayer(LayerBase):
    """Linear layer over the last dimension. Put a Flatten before it to use a whole image."""

    layer: Literal["Linear"]
    out_features: Width
    bias: bool = True

    def result(self, shape: Shape) -> Shape:
        """Replace the last dimension by out_features."""
        return (*shape[:-1], self.out_features)

    def arguments(self, shape: Shape) -> Json:
        """Add in_features, the last dimension."""
        return super().arguments(shape) | {"in_features": shape[-1]}

    def own(self, shape: Shape) -> Tensors:
        """Return weight and bias."""
        bias: Tensors = (("bias", (self.out_features,)),) if self.bias else ()
        return (("weight", (self.out_features, shape[-1])), *bias)


class ActivationLayer(LayerBase):
    """An activation function, with torch's default settings."""

    layer: Literal[
        "ReLU", "LeakyReLU", "GELU", "SiLU", "Tanh", "Sigmoid", "Identity", "ELU", "SELU", "Softplus", "Mish",
        "Hardsigmoid", "Hardtanh", "ReLU6", "Hardswish", "CELU", "Softsign", "LogSigmoid", "Tanhshrink",
    ]  # fmt: skip


class SoftmaxLayer(LayerBase):
    """Softmax or log-softmax over the last dimension. Most losses apply it themselves."""

    layer: Literal["Softmax", "LogSoftmax"]

    def arguments(self, shape: Shape) -> Json:
        """Return the last dimension's position."""
        return {"dim": -1}


class PReLU(LayerBase):
    """ReLU with one learned slope for negative inputs."""

    layer: Literal["PReLU"]

    def own(self, shape: Shape) -> Tensors:
        """Return the weight."""
        return (("weight", (1,)),)


class Dropout(LayerBase):
    """Dropout: sets random entries to zero in training and scales up the rest."""

    layer: Literal["Dropout"]
    p: Share = Field(0.5, description="probability of zeroing an entry")


class Flatten(LayerBase):
    """Flattens each row to one dimension."""

    layer: Literal["Flatten"]

    def result(self, shape: Shape) -> Shape:
        """Return one dimension."""
        return (math.prod(shape),)


class Unflatten(LayerBase):
    """Reshapes a flat row to (channels, length) or (channels, height, width)."""

    ranks = (1,)
    layer: Literal["Unflatten"]
    unflattened_size: Annotated[tuple[Width, ...], Field(min_length=2, max_length=3)]

    def result(self, shape: Shape) -> Shape:
        """Raise `ShapeMismatch` unless there are as many numbers as before."""
        if math.prod(self.unflattened_size) != shape[0]:
            raise ShapeMismatch(f"makes {list(self.unflattened_size)}, which is not {shape[0]} numbers")
        return self.unflattened_size

    def arguments(self, shape: Shape) -> Json:
        """Add dim, the one after the batch's."""
        return super().arguments(shape) | {"dim": 1}


class EmbeddingLayer(LayerBase):
    """Embedding of token ids; must be the first layer if rows are tokens."""

    ranks = (1,)
    layer: Literal["Embedding"]
    num_embeddings: Width
    embedding_dim: Width
    sparse: bool = Field(False, description="sparse gradients; only sgd, adagrad and sparse_adam take them")

    def result(self, shape: Shape) -> Shape:
        """Return (length, embedding_dim)."""
        return (*shape, self.embedding_dim)

    def own(self, shape: Shape) -> Tensors:
        """Return the weight."""
        return (("weight", (self.num_embeddings, self.embedding_dim)),)
