"""Convolutional models of images (C, H, W) and of sequences (C, L): channels first."""

import math
from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from service.errors import Problem
from service.spec.component import Default, Share, Width
from service.spec.models.base import ModelBase
from service.spec.models.leaf import ACTIVATIONS, Activation, Leaf, affine, convolution, dropout, number_leaves, scaling

Groups = Annotated[
    int, Field(ge=1, le=1024, description="groups of group normalisation; must divide every number of channels")
]


class CNNBase(ModelBase):
    """Convolutions with normalisation, activation and max pooling, then fully connected layers."""

    channels: Annotated[
        tuple[Width, ...], Field(min_length=1, max_length=20, description="output channels of each convolution")
    ] = (16, 32)
    kernel_size: Annotated[int, Field(ge=1, le=15, description="width of the convolution kernels")] = 3
    pool: Annotated[int, Field(ge=1, le=8, description="size of the max pooling after each convolution; 1: none")] = 2
    hidden: Annotated[
        tuple[Width, ...], Field(max_length=20, description="units of each hidden layer of the head")
    ] = ()
    activation: Activation = "relu"
    norm: Literal["none", "batch", "group", "instance", "layer"] = Field(
        "none", description="normalisation after each convolution"
    )
    groups: Groups = 4
    dropout: Share = Field(0.0, description="dropout probability in the head")

    def images(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return a row's shape as channels and positions."""
        return shape

    def inferred_defaults(self, shape: tuple[int, ...], task: str, vocabulary: int) -> Iterator[Default]:
        """Yield groups that divide the channels, and a pooling that leaves some of the image."""
        if self.norm == "group":
            groups = math.gcd(self.groups, *self.channels)
            yield Default("groups", groups, f"{groups}: a divisor of every entry of /channels.")
        if len(shape) not in self.ranks or not self._vanishes(shape):
            return
        if "pool" not in self.model_fields_set:
            yield Default("pool", 1, f"1: {len(self.channels)} poolings would leave too little of {list(shape)}.")
            return
        for count in range(len(self.channels) - 1, 0, -1):
            fewer = self.model_copy(update={"channels": self.channels[:count]})
            if not fewer._vanishes(shape):
                why = f"{list(fewer.channels)}: more poolings would leave too little of {list(shape)}."
                yield Default("channels", fewer.channels, why)
                return

    def _vanishes(self, shape: tuple[int, ...]) -> bool:
        """Return whether pooling leaves nothing, or a single position to normalise over."""
        sizes = self.sizes(shape)
        least = 2 if self.norm == "instance" else 1
        return min(sizes[-1]) < 1 or any(math.prod(size) < least for size in sizes[::2])

    def problems(self) -> Iterator[Problem]:
        """Yield a problem if the groups are not of equal size."""
        yield from super().problems()
        if self.norm == "group" and (odd := [c for c in self.channels if c % self.groups]):
            detail = f"{self.groups} groups do not divide {odd[0]} of /channels: choose a divisor of every entry."
            yield Problem("/groups", "contradiction", detail)

    def sizes(self, shape: tuple[int, ...]) -> list[tuple[int, ...]]:
        """Return the positions after each convolution and after its pooling (padding is kernel_size // 2)."""
        grow = 1 - self.kernel_size % 2  # an even kernel padded by half of it adds one
        found, size = [], self.images(shape)[1:]
        for _ in self.channels:
            size = tuple(n + grow for n in size)
            found.append(size)
            size = tuple(n // self.pool for n in size)
            found.append(size)
        return found

    def shape_problems(self, shape: tuple[int, ...], outputs: int) -> Iterator[Problem]:
        """Yield a problem if pooling leaves nothing of the image, or too little to normalise."""
        yield from super().shape_problems(shape, outputs)
        if len(shape) not in self.ranks:
            return
        sizes = self.sizes(shape)
        if min(sizes[-1]) < 1:
            size = " x ".join(str(n) for n in self.images(shape)[1:])
            detail = f"{len(self.channels)} poolings by {self.pool} leave nothing of {size}: fewer channels or pool 1."
            given = self.model_fields_set
            name = "pool" if "pool" in given and "channels" not in given else "channels"
            yield Problem(f"/{name}", "image_too_small", detail)
        elif self.norm == "instance" and any(math.prod(size) < 2 for size in sizes[::2]):
            detail = "instance normalisation needs at least 2 positions, and pooling leaves 1: use layer, or pool less."
            yield Problem("/norm", "image_too_small", detail)

    def leaves(self, shape: tuple[int, ...], outputs: int) -> Iterator[Leaf]:
        """Yield the leaves of two nn.Sequential, `features` and `head`."""
        planes, sizes = self.images(shape)[0], self.sizes(shape)
        blocks: list[Leaf] = []
        for depth, count in enumerate(self.channels):
            full, pooled = sizes[2 * depth : 2 * depth + 2]
            blocks += self._block(planes, count, full, pooled, depth)
            planes = count
        yield from number_leaves("features", blocks)
        yield from self._head(planes * math.prod(sizes[-1]), outputs)

    def _block(
        self, planes: int, count: int, full: tuple[int, ...], pooled: tuple[int, ...], depth: int
    ) -> Iterator[Leaf]:
        rank = len(full)
        yield convolution("", planes, count, (self.kernel_size,) * rank, full, depth)
        if self.norm != "none":
            groups = self.groups if self.norm == "group" else 1
            yield scaling("", norm_class(self.norm, rank), count, (count, *full), depth, groups)
        yield Leaf("", ACTIVATIONS[self.activation], (count, *full))
        if self.pool > 1:
            pooled = (count, *pooled)
            yield Leaf("", f"MaxPool{rank}d", pooled, extra=2 * math.prod(pooled))  # the index of the maximum, int64

    def _head(self, width: int, outputs: int) -> Iterator[Leaf]:
        at = 0
        for depth, units in enumerate((*self.hidden, outputs), len(self.channels)):
            if self.dropout:
                yield dropout(f"head.{at}", (width,))
                at += 1
            yield affine(f"head.{at}", width, units, True, depth)
            if depth < len(self.channels) + len(self.hidden):
                yield Leaf(f"head.{at + 1}", ACTIVATIONS[self.activation], (units,))
            width, at = units, at + 2


def norm_class(norm: str, rank: int) -> str:
    """Return torch's class; layer normalisation over channels and positions is group normalisation with one group."""
    return {"batch": f"BatchNorm{rank}d", "instance": f"InstanceNorm{rank}d"}.get(norm, "GroupNorm")


class CNN(CNNBase):
    """2D CNN for images: convolution, normalisation, activation and max pooling, then fully connected layers."""

    target = "worker.trainer.models.cnn:CNN"
    ranks = (3,)

    kind: Literal["cnn"] = "cnn"


class CNN1d(CNNBase):
    """1D CNN for sequences (channels, length) or (length,): convolutions and pooling, then fully connected layers."""

    target = "worker.trainer.models.cnn:CNN1d"
    ranks = (1, 2)

    kind: Literal["cnn1d"] = "cnn1d"

    def images(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return one channel if the row has none."""
        return shape if len(shape) == 2 else (1, *shape)
