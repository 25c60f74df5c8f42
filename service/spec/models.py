"""One class per model, then the union, with its parameter count in closed form."""

import math
from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from service.errors import Problem
from service.spec.component import Component, Share, Width
from service.spec.inits import Init, TorchDefault

Activation = Literal["relu", "leaky_relu", "gelu", "silu", "tanh", "sigmoid", "identity"]
Norm = Literal["none", "batch", "layer"]


class Model_(Component):
    """What every model has. Its target takes the shape of one row and the number of outputs, then the fields."""

    ranks: ClassVar[tuple[int, ...]]  # how many dimensions one row may have
    init: Init = TorchDefault()

    def parameters(self, shape: tuple[int, ...], outputs: int) -> int:
        """How many trainable numbers the model has."""
        raise NotImplementedError

    def problems(self) -> Iterator[Problem]:
        """Those of the initialisation."""
        yield from (problem.under("/init") for problem in self.init.problems())

    def shape_problems(self, shape: tuple[int, ...]) -> Iterator[Problem]:
        """What does not fit rows of this shape."""
        if len(shape) not in self.ranks:
            wanted = " or ".join(str(rank) for rank in self.ranks)
            yield Problem(
                "",
                "shape_mismatch",
                f"rows of shape {list(shape)} have {len(shape)} dimensions; needed: {wanted}.",
            )


def dense(inputs: int, outputs: int, bias: bool) -> int:
    """Parameters of one fully connected layer."""
    return inputs * outputs + (outputs if bias else 0)


class Linear(Model_):
    """One affine map: linear regression, or softmax regression under cross-entropy."""

    target = "worker.models.mlp:linear"
    ranks = (1, 3)
    formula = "W x + b"

    kind: Literal["linear"] = "linear"
    bias: bool = True

    def parameters(self, shape: tuple[int, ...], outputs: int) -> int:
        """Weights and biases."""
        return dense(math.prod(shape), outputs, self.bias)


class MLP(Model_):
    """Fully connected layers: affine, normalisation, activation, dropout; then an affine output."""

    target = "worker.models.mlp:MLP"
    ranks = (1, 3)

    kind: Literal["mlp"] = "mlp"
    hidden: Annotated[tuple[Width, ...], Field(max_length=100)] = (64,)
    activation: Activation = "relu"
    norm: Norm = "none"
    dropout: Share = 0.0
    bias: bool = True

    def parameters(self, shape: tuple[int, ...], outputs: int) -> int:
        """Affine layers, and two numbers a unit for a normalisation."""
        widths = [math.prod(shape), *self.hidden]
        affine = sum(dense(i, o, self.bias) for i, o in zip(widths, [*self.hidden, outputs], strict=True))
        return affine + (0 if self.norm == "none" else 2 * sum(self.hidden))


class CNN(Model_):
    """Convolutions with normalisation, activation and 2 x 2 max pooling, then fully connected layers."""

    target = "worker.models.cnn:CNN"
    ranks = (3,)

    kind: Literal["cnn"] = "cnn"
    channels: Annotated[tuple[Width, ...], Field(min_length=1, max_length=20)] = (16, 32)
    kernel_size: Annotated[int, Field(ge=1, le=15)] = 3
    pool: Annotated[int, Field(ge=1, le=8, description="pooling window after each convolution; 1: none")] = 2
    hidden: Annotated[tuple[Width, ...], Field(max_length=20)] = ()
    activation: Activation = "relu"
    norm: Literal["none", "batch"] = "none"
    dropout: Share = 0.0

    def spatial(self, shape: tuple[int, ...]) -> tuple[int, int]:
        """Height and width after the last pooling (convolutions keep the size: padding is kernel_size // 2)."""
        height, width = shape[1:]
        grow = 1 - self.kernel_size % 2  # an even kernel padded by half of it adds one
        for _ in self.channels:
            height, width = (height + grow) // self.pool, (width + grow) // self.pool
        return height, width

    def shape_problems(self, shape: tuple[int, ...]) -> Iterator[Problem]:
        """Each pooling halves the image; nothing may be left of it."""
        yield from super().shape_problems(shape)
        if len(shape) == 3 and min(self.spatial(shape)) < 1:
            yield Problem(
                "/channels",
                "image_too_small",
                f"{len(self.channels)} poolings by {self.pool} leave nothing of {shape[1]} x {shape[2]}: "
                "fewer channels or pool 1.",
            )

    def parameters(self, shape: tuple[int, ...], outputs: int) -> int:
        """Convolutions, normalisations and the fully connected tail."""
        planes = [shape[0], *self.channels]
        convolutions = sum(i * o * self.kernel_size**2 + o for i, o in zip(planes, self.channels, strict=False))
        norms = 0 if self.norm == "none" else 2 * sum(self.channels)
        widths = [self.channels[-1] * math.prod(self.spatial(shape)), *self.hidden]
        return (
            convolutions + norms + sum(dense(i, o, True) for i, o in zip(widths, [*self.hidden, outputs], strict=True))
        )


Model = Annotated[Linear | MLP | CNN, Field(discriminator="kind")]


def model_kwargs(model: Model_) -> dict[str, Any]:
    """The fields a model's constructor takes; the initialisation is applied afterwards, by the builder."""
    return {name: value for name, value in model.kwargs().items() if name != "init"}
