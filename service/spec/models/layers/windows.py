"""Layers that slide a window over positions: convolutions and poolings."""

from typing import Annotated, Literal

from pydantic import Field

from service.spec.component import Json, Width
from service.spec.models.layers.base import LayerBase, Shape, ShapeMismatch, Tensors

Kernel = Annotated[int, Field(ge=1, le=255)]
Padding = Annotated[int, Field(ge=0, le=255)]


class WindowBase(LayerBase):
    """A layer that slides a window over the positions."""

    kernel_size: Kernel
    padding: Padding = 0

    def slid(self, shape: Shape, stride: int) -> Shape:
        """Return the number of window positions along each axis, as torch counts them."""
        reach = getattr(self, "dilation", 1) * (self.kernel_size - 1) + 1
        sizes = tuple((n + 2 * self.padding - reach) // stride + 1 for n in shape[1:])
        if min(sizes) < 1:
            room = " x ".join(str(n + 2 * self.padding) for n in shape[1:])
            raise ShapeMismatch(f"needs {reach} positions each way, and has {room} with its padding")
        return sizes


class ConvBase(WindowBase):
    """A convolution; in_channels is inferred."""

    out_channels: Width
    stride: Kernel = 1
    dilation: Kernel = 1
    groups: Annotated[int, Field(ge=1, le=65_536)] = 1
    bias: bool = True

    def result(self, shape: Shape) -> Shape:
        """Replace the channels by out_channels, and the positions by those of the window."""
        if shape[0] % self.groups or self.out_channels % self.groups:
            raise ShapeMismatch(
                f"has {self.groups} groups, which divide not both {shape[0]} channels and {self.out_channels}"
            )
        return (self.out_channels, *self.slid(shape, self.stride))

    def arguments(self, shape: Shape) -> Json:
        """Add in_channels, the first dimension."""
        return super().arguments(shape) | {"in_channels": shape[0]}

    def own(self, shape: Shape) -> Tensors:
        """Return weight and bias."""
        kernel = (self.kernel_size,) * (len(shape) - 1)
        bias: Tensors = (("bias", (self.out_channels,)),) if self.bias else ()
        return (("weight", (self.out_channels, shape[0] // self.groups, *kernel)), *bias)


class Conv1d(ConvBase):
    """1D convolution; in_channels is inferred."""

    ranks = (2,)
    layer: Literal["Conv1d"]


class Conv2d(ConvBase):
    """2D convolution; in_channels is inferred."""

    ranks = (3,)
    layer: Literal["Conv2d"]


class PoolBase(WindowBase):
    """A pooling window."""

    stride: Annotated[Kernel | None, Field(description="stride; null: kernel_size")] = None

    def result(self, shape: Shape) -> Shape:
        """Keep the channels, and replace the positions by those of the window."""
        if 2 * self.padding > self.kernel_size:
            raise ShapeMismatch(f"pads by {self.padding}; at most half of kernel_size {self.kernel_size}")
        return (shape[0], *self.slid(shape, self.stride or self.kernel_size))


class Pool1d(PoolBase):
    """1D max or average pooling."""

    ranks = (2,)
    layer: Literal["MaxPool1d", "AvgPool1d"]


class Pool2d(PoolBase):
    """2D max or average pooling."""

    ranks = (3,)
    layer: Literal["MaxPool2d", "AvgPool2d"]


class GlobalPoolBase(LayerBase):
    """The mean over all positions. Other output sizes have no deterministic gradient on a GPU."""

    output_size: Literal[1] = 1

    def result(self, shape: Shape) -> Shape:
        """Keep the channels, and one position."""
        return (shape[0], *(1 for _ in shape[1:]))


class GlobalPool1d(GlobalPoolBase):
    """Global average pooling of sequences."""

    ranks = (2,)
    layer: Literal["AdaptiveAvgPool1d"]


class GlobalPool2d(GlobalPoolBase):
    """Global average pooling of images."""

    ranks = (3,)
    layer: Literal["AdaptiveAvgPool2d"]
