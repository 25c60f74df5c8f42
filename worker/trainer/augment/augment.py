"""The augmentation of an update's batch: a function of (seed, step), so that a resumed run sees the same images.

Random numbers come from a generator that is set aside meanwhile: the training's own stream is untouched. Transforms
without a batched version run image by image, because torchvision draws once per call.
"""

import hashlib
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from service.spec.augmentations import AugmentationBase
from service.spec.augmentations.geometry import Crop, HorizontalFlip, VerticalFlip
from service.spec.experiment import Experiment
from worker.trainer.augment import batched
from worker.trainer.augment.mixing import Batch
from worker.trainer.build import build
from worker.trainer.data.memory_mapped import DeviceScale
from worker.trainer.data.scaling import Scale

Transform = Callable[[Tensor], Tensor]


class Augment:
    """The augmentations of one run."""

    def __init__(
        self, parts: Sequence[AugmentationBase], classes: int, size: tuple[int, int], scale: Scale | None, seed: int
    ) -> None:
        self.transforms = [_transform(part, size) for part in parts if not part.mixes]
        self.mixtures: list[Callable[[Tensor, Tensor], Batch]] = [build(part) for part in parts if part.mixes]
        self.classes, self.scale, self.seed = classes, scale, seed
        self._device: tuple[DeviceScale, list[Tensor]] | None = None

    @classmethod
    def of(cls, spec: Experiment, scale: Scale | None, seed: int) -> "Augment | None":
        """Return the augmentation of one run of `spec`; None where it has none."""
        if not spec.augment:
            return None
        facts = spec.dataset.facts
        return cls(spec.augment, facts.classes, (facts.shape[1], facts.shape[2]), scale, seed)

    def apply(self, step: int, batch: Batch) -> Batch:
        """Return the batch of update `step` augmented: x (B, C, H, W) scaled; y (B,) or mixed (B, K)."""
        x, y = batch
        images, targets = self.bytes_of(step, self.unscaled(x), y)
        return self._terms(x.device)[0].apply(images), targets

    def bytes_of(self, step: int, images: Tensor, y: Tensor) -> Batch:
        """Return augmented bytes (B, C, H, W) of update `step`, and targets."""
        digest = hashlib.sha256(f"augment:{self.seed}:{step}".encode()).digest()
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(int.from_bytes(digest[:8], "big") >> 1)  # not the GPUs' too
            for transform in self.transforms:
                images = transform(images)
            if self.mixtures:
                y = functional.one_hot(y, self.classes).to(torch.get_default_dtype())
                at = int(torch.randint(len(self.mixtures), ()))
                images, y = self.mixtures[at](images, y)
        return images, y

    def unscaled(self, x: Tensor) -> Tensor:
        """Return the bytes that were scaled."""
        terms = self._terms(x.device)[1]
        stored = x.double() * terms[1] + terms[0] if terms else x
        return stored.round().to(torch.uint8)

    def _terms(self, device: torch.device) -> tuple[DeviceScale, list[Tensor]]:
        if self._device is None:
            terms = [] if self.scale is None else [torch.from_numpy(each).to(device) for each in self.scale]
            self._device = DeviceScale(self.scale, device), terms
        return self._device


def _transform(part: AugmentationBase, size: tuple[int, int]) -> Transform:
    """Return the transform of a batch: a batched version, or torchvision's image by image."""
    if isinstance(part, HorizontalFlip):
        return partial(batched.horizontal_flip, p=part.p)
    if isinstance(part, VerticalFlip):
        return partial(batched.vertical_flip, p=part.p)
    if isinstance(part, Crop):
        return partial(batched.crop, padding=part.padding)
    single: Any = build(part, size) if part.sized else build(part)
    return partial(_each, single)


def _each(transform: Transform, images: Tensor) -> Tensor:
    return torch.stack([transform(image) for image in images])
