"""The augmentations of training images, and their union."""

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from service.spec.augmentations import colour, geometry, mixing
from service.spec.augmentations.base import AugmentationBase
from service.spec.plugins import family_union

if TYPE_CHECKING:
    Augmentation = AugmentationBase
else:
    Augmentation = family_union("augmentation", AugmentationBase, geometry, colour, mixing)

Augmentations = Annotated[tuple[Augmentation, ...], Field(max_length=20)]

__all__ = ["Augmentation", "AugmentationBase", "Augmentations"]
