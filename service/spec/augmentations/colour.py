"""Transforms that change values: colours, blur, erased patches, and policies of many transforms."""

from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from service.errors import Problem
from service.spec.augmentations.base import AugmentationBase
from service.spec.augmentations.geometry import FIXED, Chance, Ratio

Jitter = Annotated[float, Field(ge=0, le=10)]


class ColorJitter(AugmentationBase):
    """Change brightness, contrast, saturation and hue, in random order."""

    target = "torchvision.transforms.v2:ColorJitter"

    kind: Literal["color_jitter"] = "color_jitter"
    brightness: Jitter | None = Field(None, description="factor from max(0, 1 - brightness) to 1 + brightness")
    contrast: Jitter | None = Field(None, description="likewise")
    saturation: Jitter | None = Field(None, description="likewise")
    hue: Annotated[float, Field(ge=0, le=0.5)] | None = Field(None, description="shift from -hue to hue of a turn")


class GaussianBlur(AugmentationBase):
    """Blur with a Gaussian of random width."""

    target = "torchvision.transforms.v2:GaussianBlur"

    kind: Literal["gaussian_blur"] = "gaussian_blur"
    kernel_size: Literal[3, 5, 7, 9, 11] = Field(description="pixels of the kernel's side")
    sigma: tuple[Ratio, Ratio] = Field((0.1, 2.0), description="smallest and largest width in pixels")

    def shape_problems(self, shape: tuple[int, ...]) -> Iterator[Problem]:
        """Yield a problem for a kernel that reaches over the whole image."""
        if self.kernel_size > min(shape[1:]):
            yield Problem("/kernel_size", "too_large", f"is larger than the images' side of {min(shape[1:])} pixels.")


class Erasing(AugmentationBase):
    """Make a random rectangle black (Zhong et al. 2017)."""

    target = "torchvision.transforms.v2:RandomErasing"
    paper = "https://arxiv.org/abs/1708.04896"
    left_out: ClassVar[dict[str, str]] = {"value": "black", "inplace": "no"}

    kind: Literal["erasing"] = "erasing"
    p: Chance = 0.5
    scale: tuple[Ratio, Ratio] = Field((0.02, 0.33), description="smallest and largest share of the area")
    ratio: tuple[Ratio, Ratio] = Field((0.3, 3.3), description="smallest and largest proportions")


class RandAugment(AugmentationBase):
    """Apply a few transforms drawn from a fixed list, of one strength (Cubuk et al. 2019)."""

    target = "torchvision.transforms.v2:RandAugment"
    paper = "https://arxiv.org/abs/1909.13719"
    left_out: ClassVar[dict[str, str]] = FIXED

    kind: Literal["rand_augment"] = "rand_augment"
    num_ops: Annotated[int, Field(ge=1, le=10, description="transforms for each image")] = 2
    magnitude: Annotated[int, Field(ge=0, le=30, description="strength, below num_magnitude_bins")] = 9
    num_magnitude_bins: Annotated[int, Field(ge=31, le=100, description="number of strengths")] = 31


class TrivialAugment(AugmentationBase):
    """Apply one transform of random kind and strength (Müller and Hutter 2021)."""

    target = "torchvision.transforms.v2:TrivialAugmentWide"
    paper = "https://arxiv.org/abs/2103.10158"
    left_out: ClassVar[dict[str, str]] = FIXED

    kind: Literal["trivial_augment"] = "trivial_augment"
    num_magnitude_bins: Annotated[int, Field(ge=2, le=100, description="number of strengths")] = 31
