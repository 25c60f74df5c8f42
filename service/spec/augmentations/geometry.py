"""Transforms that move pixels: flips, crops, rotations."""

from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from service.errors import Problem
from service.spec.augmentations.base import AugmentationBase

Chance = Annotated[float, Field(ge=0, le=1, description="probability for each image")]
Degrees = Annotated[float, Field(ge=0, le=180, description="angles are drawn from -degrees to degrees")]
Ratio = Annotated[float, Field(gt=0, le=10)]
FIXED = {
    "interpolation": "torchvision's default",
    "fill": "torchvision's default, black",
}


class HorizontalFlip(AugmentationBase):
    """Mirror left and right."""

    target = "worker.trainer.augment.batched:horizontal_flip"
    needs = ()
    left_out: ClassVar[dict[str, str]] = {"x": "the batch"}

    kind: Literal["horizontal_flip"] = "horizontal_flip"
    p: Chance = 0.5


class VerticalFlip(AugmentationBase):
    """Mirror top and bottom."""

    target = "worker.trainer.augment.batched:vertical_flip"
    needs = ()
    left_out: ClassVar[dict[str, str]] = {"x": "the batch"}

    kind: Literal["vertical_flip"] = "vertical_flip"
    p: Chance = 0.5


class Crop(AugmentationBase):
    """Add a black margin and cut a window of the images' size at a random place."""

    target = "worker.trainer.augment.batched:crop"
    needs = ()
    left_out: ClassVar[dict[str, str]] = {"x": "the batch"}

    kind: Literal["crop"] = "crop"
    padding: Annotated[int, Field(ge=1, le=256, description="pixels of the margin on each side")]

    def shape_problems(self, shape: tuple[int, ...]) -> Iterator[Problem]:
        """Yield a problem for a margin as wide as the image."""
        if self.padding >= min(shape[1:]):
            detail = f"must be less than the images' side of {min(shape[1:])} pixels."
            yield Problem("/padding", "too_large", detail, min(shape[1:]) - 1)


class ResizedCrop(AugmentationBase):
    """Cut a window of random area and proportions, and resize it to the images' size (Szegedy et al. 2015)."""

    target = "torchvision.transforms.v2:RandomResizedCrop"
    paper = "https://arxiv.org/abs/1409.4842"
    sized = True
    left_out: ClassVar[dict[str, str]] = {
        "interpolation": FIXED["interpolation"],
        "antialias": "torchvision's default",
    }

    kind: Literal["resized_crop"] = "resized_crop"
    scale: tuple[Ratio, Ratio] = Field((0.08, 1.0), description="smallest and largest share of the area")
    ratio: tuple[Ratio, Ratio] = Field((3 / 4, 4 / 3), description="smallest and largest width over height")

    def problems(self) -> Iterator[Problem]:
        """Yield ranges that end before they begin."""
        for name in ("scale", "ratio"):
            low, high = getattr(self, name)
            if low > high or (name == "scale" and high > 1):
                yield Problem(f"/{name}", "wrong_order", "give the smallest first" + ", at most 1." * (name == "scale"))


class RandomRotation(AugmentationBase):
    """Rotate about the middle."""

    target = "torchvision.transforms.v2:RandomRotation"
    left_out: ClassVar[dict[str, str]] = FIXED | {"expand": "the size stays", "center": "the middle"}

    kind: Literal["rotation"] = "rotation"
    degrees: Degrees


class Affine(AugmentationBase):
    """Rotate, shift, scale and shear."""

    target = "torchvision.transforms.v2:RandomAffine"
    left_out: ClassVar[dict[str, str]] = FIXED | {"center": "the middle"}

    kind: Literal["affine"] = "affine"
    degrees: Degrees
    translate: tuple[Chance, Chance] | None = Field(None, description="largest shift as a share of width and height")
    scale: tuple[Ratio, Ratio] | None = Field(None, description="smallest and largest scale")
    shear: Annotated[float, Field(ge=0, lt=90)] | None = Field(None, description="largest angle of shear along x")
