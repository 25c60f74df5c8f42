"""A small residual network for images, as for CIFAR."""

import math
from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from service.errors import Problem
from service.spec.component import Default
from service.spec.models.base import ActivationCheckpointing, ModelBase
from service.spec.models.convolutional import Groups, norm_class
from service.spec.models.leaf import ACTIVATIONS, Activation, Leaf, affine, convolution, number_leaves, scaling

Size = tuple[int, ...]


class ResNet(ModelBase):
    """ResNet: a 3 x 3 stem, then stages of residual blocks. Each new stage halves the image and doubles the width."""

    target = "worker.trainer.models.resnet:ResNet"
    ranks = (3,)
    formula = "x <- act(norm(conv(act(norm(conv(x))))) + shortcut(x))"
    paper = "He et al. 2016, arXiv:1512.03385, section 4.2; shortcuts of changed size are 1 x 1 convolutions (option B)"

    kind: Literal["resnet"] = "resnet"
    blocks: Annotated[int, Field(ge=1, le=50, description="residual blocks per stage")] = 1
    stages: Annotated[int, Field(ge=1, le=6, description="number of stages")] = 3
    width: Annotated[int, Field(ge=1, le=2048, description="channels of the first stage")] = 16
    activation: Activation = "relu"
    norm: Literal["batch", "group", "none"] = Field("batch", description="normalisation after each convolution")
    groups: Groups = 4
    activation_checkpointing: ActivationCheckpointing = False

    def inferred_defaults(self, shape: Size, task: str, vocabulary: int) -> Iterator[Default]:
        """Yield groups that divide the width."""
        groups = math.gcd(self.groups, self.width)
        if self.norm == "group":
            yield Default("groups", groups, f"{groups}: a divisor of /width {self.width}.")

    def problems(self) -> Iterator[Problem]:
        """Yield a problem if the groups are not of equal size."""
        yield from super().problems()
        if self.norm == "group" and self.width % self.groups:
            detail = f"{self.groups} groups do not divide /width {self.width}: choose a divisor of it."
            yield Problem("/groups", "contradiction", detail)

    def plan(self) -> list[tuple[int, int]]:
        """Return channels and stride of every block."""
        first = [1 if stage == 0 else 2 for stage in range(self.stages)]
        return [
            (self.width * 2**stage, first[stage] if block == 0 else 1)
            for stage in range(self.stages)
            for block in range(self.blocks)
        ]

    def leaves(self, shape: Size, outputs: int) -> Iterator[Leaf]:
        """Yield `stem`, `blocks` and `head`; the mean over positions has no module."""
        planes, size = self.width, shape[1:]
        activation = Leaf("", ACTIVATIONS[self.activation], (planes, *size))
        yield from number_leaves("stem", [*self._convolved(shape[0], planes, 3, size, 0), activation])
        for at, (count, stride) in enumerate(self.plan()):
            size = tuple((n - 1) // stride + 1 for n in size)
            yield from self._block(f"blocks.{at}", planes, count, stride, size, at + 1)
            planes = count
        yield affine("head", planes, outputs, True, self.stages * self.blocks + 1)

    def _block(self, name: str, planes: int, count: int, stride: int, size: Size, depth: int) -> Iterator[Leaf]:
        activation = Leaf(f"{name}.outer", ACTIVATIONS[self.activation], (count, *size))
        first, second = (self._convolved(i, count, 3, size, depth) for i in (planes, count))
        yield from number_leaves(f"{name}.inner", [*first, activation, *second])
        if stride > 1 or planes != count:
            yield from number_leaves(f"{name}.shortcut", self._convolved(planes, count, 1, size, depth))
        yield activation

    def _convolved(self, planes: int, count: int, kernel: int, size: Size, depth: int) -> Iterator[Leaf]:
        """Yield a convolution and its normalisation, whose shift replaces the convolution's bias."""
        yield convolution("", planes, count, (kernel, kernel), size, depth, bias=self.norm == "none")
        if self.norm != "none":
            groups = self.groups if self.norm == "group" else 1
            yield scaling("", norm_class(self.norm, 2), count, (count, *size), depth, groups)
