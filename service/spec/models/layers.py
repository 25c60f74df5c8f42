"""The layers that a sequential model is made of: torch's names and arguments, what goes in inferred from what came out.

Shapes are one row's, channels first: (features,), (channels, length), (channels, height, width).
"""

import math
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from service.spec.component import Part, Share, Width

Shape = tuple[int, ...]
Own = tuple[tuple[str, Shape], ...]
Kernel = Annotated[int, Field(ge=1, le=255)]
Padding = Annotated[int, Field(ge=0, le=255)]


ROWS = {1: "(features,)", 2: "(channels, length)", 3: "(channels, height, width)"}


class Misfit(ValueError):
    """Why a layer cannot take rows of the shape it is given."""


class Layer_(Part):
    """One layer. `layer` is the name of the class in torch.nn, the fields its arguments."""

    ranks: ClassVar[tuple[int, ...]] = (1, 2, 3)  # how many dimensions a row may have here
    layer: str

    def gives(self, shape: Shape) -> Shape:
        """The shape it makes of rows of `shape`; `Misfit` where it takes none such."""
        if len(shape) not in self.ranks:
            wanted = " or ".join(ROWS[rank] for rank in self.ranks)
            raise Misfit(f"takes rows {wanted}, and gets {list(shape)}")
        return self.result(shape)

    def result(self, shape: Shape) -> Shape:
        """The same, where the rank is right."""
        return shape

    def arguments(self, shape: Shape) -> dict[str, Any]:
        """What torch's class is called with: the fields, and what is inferred from rows of `shape`."""
        return {name: getattr(self, name) for name in type(self).model_fields if name != "layer"}

    def own(self, shape: Shape) -> Own:
        """Its trainable tensors in torch's order."""
        return ()


class LinearLayer(Layer_):
    """Affine over the last dimension; put a Flatten before it to mix all of an image."""

    layer: Literal["Linear"]
    out_features: Width
    bias: bool = True

    def result(self, shape: Shape) -> Shape:
        """The last dimension becomes out_features."""
        return (*shape[:-1], self.out_features)

    def arguments(self, shape: Shape) -> dict[str, Any]:
        """in_features is the last dimension."""
        return super().arguments(shape) | {"in_features": shape[-1]}

    def own(self, shape: Shape) -> Own:
        """weight, bias."""
        bias: Own = (("bias", (self.out_features,)),) if self.bias else ()
        return (("weight", (self.out_features, shape[-1])), *bias)


class Window_(Layer_):
    """What slides a window over the positions."""

    kernel_size: Kernel
    padding: Padding = 0

    def slid(self, shape: Shape, stride: int) -> Shape:
        """Positions that the window takes, as torch counts them."""
        reach = getattr(self, "dilation", 1) * (self.kernel_size - 1) + 1
        sizes = tuple((n + 2 * self.padding - reach) // stride + 1 for n in shape[1:])
        if min(sizes) < 1:
            room = " x ".join(str(n + 2 * self.padding) for n in shape[1:])
            raise Misfit(f"needs {reach} positions each way, and has {room} with its padding")
        return sizes


class Conv_(Window_):
    """A convolution; in_channels is inferred."""

    out_channels: Width
    stride: Kernel = 1
    dilation: Kernel = 1
    groups: Annotated[int, Field(ge=1, le=65_536)] = 1
    bias: bool = True

    def result(self, shape: Shape) -> Shape:
        """Channels become out_channels."""
        if shape[0] % self.groups or self.out_channels % self.groups:
            raise Misfit(f"has {self.groups} groups, which divide not both {shape[0]} channels and {self.out_channels}")
        return (self.out_channels, *self.slid(shape, self.stride))

    def arguments(self, shape: Shape) -> dict[str, Any]:
        """in_channels is the first dimension."""
        return super().arguments(shape) | {"in_channels": shape[0]}

    def own(self, shape: Shape) -> Own:
        """weight, bias."""
        kernel = (self.kernel_size,) * (len(shape) - 1)
        bias: Own = (("bias", (self.out_channels,)),) if self.bias else ()
        return (("weight", (self.out_channels, shape[0] // self.groups, *kernel)), *bias)


class Conv1d(Conv_):
    """Convolution along a sequence."""

    ranks = (2,)
    layer: Literal["Conv1d"]


class Conv2d(Conv_):
    """Convolution over an image."""

    ranks = (3,)
    layer: Literal["Conv2d"]


class Pool_(Window_):
    """A pooling window."""

    stride: Annotated[Kernel | None, Field(description="null: kernel_size")] = None

    def result(self, shape: Shape) -> Shape:
        """Channels stay."""
        if 2 * self.padding > self.kernel_size:
            raise Misfit(f"pads by {self.padding}; at most half of kernel_size {self.kernel_size}")
        return (shape[0], *self.slid(shape, self.stride or self.kernel_size))


class Pool1d(Pool_):
    """Largest or mean entry of a window along a sequence."""

    ranks = (2,)
    layer: Literal["MaxPool1d", "AvgPool1d"]


class Pool2d(Pool_):
    """Largest or mean entry of a window over an image."""

    ranks = (3,)
    layer: Literal["MaxPool2d", "AvgPool2d"]


class GlobalPool_(Layer_):
    """The mean over all positions. Other output sizes have no deterministic gradient on a GPU."""

    output_size: Literal[1] = 1

    def result(self, shape: Shape) -> Shape:
        """One position is left."""
        return (shape[0], *(1 for _ in shape[1:]))


class GlobalPool1d(GlobalPool_):
    """The mean along a sequence."""

    ranks = (2,)
    layer: Literal["AdaptiveAvgPool1d"]


class GlobalPool2d(GlobalPool_):
    """The mean over an image."""

    ranks = (3,)
    layer: Literal["AdaptiveAvgPool2d"]


class Norm_(Layer_):
    """A normalisation with a trained scale and shift a channel."""

    eps: Annotated[float, Field(gt=0, le=1)] = 1e-5
    affine: bool = True

    def arguments(self, shape: Shape) -> dict[str, Any]:
        """num_features is the number of channels."""
        return super().arguments(shape) | {"num_features": shape[0]}

    def own(self, shape: Shape) -> Own:
        """weight, bias."""
        return (("weight", (shape[0],)), ("bias", (shape[0],))) if self.affine else ()


class BatchNorm1d(Norm_):
    """Each channel over the rows of a batch (and its positions)."""

    ranks = (1, 2)
    layer: Literal["BatchNorm1d"]
    momentum: Annotated[float, Field(gt=0, le=1)] = 0.1


class BatchNorm2d(Norm_):
    """Each channel over the rows of a batch and its positions."""

    ranks = (3,)
    layer: Literal["BatchNorm2d"]
    momentum: Annotated[float, Field(gt=0, le=1)] = 0.1


class InstanceNorm_(Norm_):
    """Each channel of each row over its positions."""

    def result(self, shape: Shape) -> Shape:
        """A single position has no spread."""
        if math.prod(shape[1:]) < 2:
            raise Misfit(f"needs at least 2 positions to normalise over, and gets {list(shape)}")
        return shape


class InstanceNorm1d(InstanceNorm_):
    """Along a sequence."""

    ranks = (2,)
    layer: Literal["InstanceNorm1d"]


class InstanceNorm2d(InstanceNorm_):
    """Over an image."""

    ranks = (3,)
    layer: Literal["InstanceNorm2d"]


class GroupNorm(Norm_):
    """Groups of channels of each row, over their positions."""

    layer: Literal["GroupNorm"]
    num_groups: Annotated[int, Field(ge=1, le=65_536)]

    def result(self, shape: Shape) -> Shape:
        """Groups are of equal size."""
        if shape[0] % self.num_groups:
            raise Misfit(f"has {self.num_groups} groups, which do not divide {shape[0]} channels")
        return shape

    def arguments(self, shape: Shape) -> dict[str, Any]:
        """num_channels is the number of channels."""
        return Layer_.arguments(self, shape) | {"num_channels": shape[0]}


class LastNorm_(Layer_):
    """Over the last dimension of each row."""

    def arguments(self, shape: Shape) -> dict[str, Any]:
        """normalized_shape is the last dimension."""
        return super().arguments(shape) | {"normalized_shape": shape[-1]}


class LayerNorm(LastNorm_):
    """To mean 0 and variance 1, then scaled and shifted."""

    layer: Literal["LayerNorm"]
    eps: Annotated[float, Field(gt=0, le=1)] = 1e-5

    def own(self, shape: Shape) -> Own:
        """weight, bias."""
        return (("weight", shape[-1:]), ("bias", shape[-1:]))


class RMSNorm(LastNorm_):
    """To root mean square 1, then scaled."""

    layer: Literal["RMSNorm"]

    def own(self, shape: Shape) -> Own:
        """weight."""
        return (("weight", shape[-1:]),)


class ActivationLayer(Layer_):
    """A function of each entry, as torch's class does it by default."""

    layer: Literal[
        "ReLU", "LeakyReLU", "GELU", "SiLU", "Tanh", "Sigmoid", "Identity", "ELU", "SELU", "Softplus", "Mish",
        "Hardsigmoid", "Hardtanh", "ReLU6", "Hardswish", "CELU", "Softsign", "LogSigmoid", "Tanhshrink",
    ]  # fmt: skip


class PReLU(Layer_):
    """ReLU with one trained slope below zero."""

    layer: Literal["PReLU"]

    def own(self, shape: Shape) -> Own:
        """weight."""
        return (("weight", (1,)),)


class Dropout(Layer_):
    """Entries set to zero at random in training, the rest scaled up."""

    layer: Literal["Dropout"]
    p: Share = 0.5


class Flatten(Layer_):
    """All of a row in one dimension."""

    layer: Literal["Flatten"]

    def result(self, shape: Shape) -> Shape:
        """One dimension."""
        return (math.prod(shape),)


class Unflatten(Layer_):
    """A flat row as channels and positions."""

    ranks = (1,)
    layer: Literal["Unflatten"]
    unflattened_size: Annotated[tuple[Width, ...], Field(min_length=2, max_length=3)]

    def result(self, shape: Shape) -> Shape:
        """As many numbers as before."""
        if math.prod(self.unflattened_size) != shape[0]:
            raise Misfit(f"makes {list(self.unflattened_size)}, which is not {shape[0]} numbers")
        return self.unflattened_size

    def arguments(self, shape: Shape) -> dict[str, Any]:
        """The dimension after the batch's is unfolded."""
        return super().arguments(shape) | {"dim": 1}


class EmbeddingLayer(Layer_):
    """A trained vector for each token id; the first layer where rows are tokens."""

    ranks = (1,)
    layer: Literal["Embedding"]
    num_embeddings: Width
    embedding_dim: Width
    sparse: bool = Field(False, description="gradients of the looked up rows only, which few optimizers take")

    def result(self, shape: Shape) -> Shape:
        """(length, embedding_dim)."""
        return (*shape, self.embedding_dim)

    def own(self, shape: Shape) -> Own:
        """weight."""
        return (("weight", (self.num_embeddings, self.embedding_dim)),)


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
    | PReLU
    | Dropout
    | Flatten
    | Unflatten
    | EmbeddingLayer,
    Field(discriminator="layer"),
]
