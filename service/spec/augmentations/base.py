"""What every augmentation declares: transforms of training images, drawn anew for each image and step."""

from collections.abc import Iterator
from typing import ClassVar

from service.errors import Problem
from service.spec.component import Component


class AugmentationBase(Component):
    """A transform of training images as bytes, before they are scaled. Draws depend on (seed, step) alone."""

    needs: ClassVar[tuple[str, ...]] = ("torchvision",)
    mixes: ClassVar[bool] = False  # images and classes of a batch: targets become class probabilities
    sized: ClassVar[bool] = False  # the target's first argument is the images' (height, width)

    def shape_problems(self, shape: tuple[int, ...]) -> Iterator[Problem]:
        """Yield why the transform does not fit images of this shape (channels, height, width)."""
        yield from ()
