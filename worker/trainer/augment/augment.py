"""The augmentation of an update's batch: a function of (seed, step), so that a resumed run sees the same images.

Random numbers come from a generator that is set aside meanwhile: the training's own stream is untouched. torchvision
draws once per call, so its transforms run image by image, or draw so and run once for images that drew the same. They
run on the CPU whichever device trains, so that loader processes can run them ahead. Flips and crops have versions of
their own; a list of these and of mixtures runs where the model does.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from service.spec.augmentations import AugmentationBase
from service.spec.augmentations.colour import ColorJitter, RandAugment, TrivialAugment
from service.spec.augmentations.geometry import Crop, HorizontalFlip, VerticalFlip
from service.spec.experiment import Experiment
from worker.trainer.augment import batched, grouped
from worker.trainer.build import build
from worker.trainer.data.batches import Batch
from worker.trainer.data.memory_mapped import DeviceScale
from worker.trainer.data.scaling import Scale, apply_scale

Transform = Callable[[Tensor], Tensor]
BATCHED = (HorizontalFlip, VerticalFlip, Crop)
GROUPED: dict[type[AugmentationBase], Callable[[Any, Tensor], Tensor]] = {
    ColorJitter: grouped.jitter,
    RandAugment: grouped.rand_augment,
    TrivialAugment: grouped.trivial_augment,
}
CPU = torch.device("cpu")


class Augment:
    """The augmentations of one run."""

    def __init__(
        self,
        parts: Sequence[AugmentationBase],
        classes: int,
        size: tuple[int, int],
        scale: Scale | None,
        seed: int,
        device: torch.device = CPU,
    ) -> None:
        self.transforms = [_transform(part, size) for part in parts if not part.mixes]
        self.mixtures: list[Callable[[Tensor, Tensor], Batch]] = [build(part) for part in parts if part.mixes]
        self.classes, self.seed = classes, seed
        self._scale, self._on_device = scale, DeviceScale(scale, device)
        self.costly = not all(part.mixes or isinstance(part, BATCHED) for part in parts)
        self.on_host = self.costly or device.type == "cpu"

    @classmethod
    def of(cls, spec: Experiment, scale: Scale | None, seed: int, device: torch.device) -> "Augment | None":
        """Return the augmentation of one run of `spec`; None where it has none."""
        if not spec.augment:
            return None
        facts = spec.dataset.facts
        return cls(spec.augment, facts.classes, (facts.shape[1], facts.shape[2]), scale, seed, device)

    def bytes_of(self, step: int, images: Tensor, y: Tensor) -> Batch:
        """Return augmented bytes (B, C, H, W) of update `step`, and targets."""
        digest = hashlib.sha256(f"augment:{self.seed}:{step}".encode()).digest()
        with torch.random.fork_rng(devices=[]), _one_thread(self.costly):
            torch.default_generator.manual_seed(int.from_bytes(digest[:8], "big") >> 1)  # not the GPUs' too
            for transform in self.transforms:
                images = transform(images)
            if self.mixtures:
                y = functional.one_hot(y, self.classes).to(torch.get_default_dtype())
                at = int(torch.randint(len(self.mixtures), ()))
                images, y = self.mixtures[at](images, y)
        return images, y

    def scaled(self, images: Tensor) -> Tensor:
        """Return bytes as the model takes them: scaled, as floats."""
        if self._scale is not None and images.device.type == "cpu":
            return torch.from_numpy(apply_scale(self._scale, images.numpy()))  # piece by piece, in the cache
        return self._on_device.apply(images)


@contextmanager
def _one_thread(wanted: bool) -> Iterator[None]:
    """Compute on one thread, as loader processes do: sums over an image depend on how many share it."""
    threads = torch.get_num_threads()
    if wanted and threads > 1:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)


def _transform(part: AugmentationBase, size: tuple[int, int]) -> Transform:
    """Return the transform of a batch: a batched or grouped version, or torchvision's image by image."""
    if isinstance(part, HorizontalFlip):
        return partial(batched.horizontal_flip, p=part.p)
    if isinstance(part, VerticalFlip):
        return partial(batched.vertical_flip, p=part.p)
    if isinstance(part, Crop):
        return partial(batched.crop, padding=part.padding)
    single: Any = build(part, size) if part.sized else build(part)
    many = next((apply for kind, apply in GROUPED.items() if isinstance(part, kind)), None)
    return partial(_each, single) if many is None else partial(_grouped, partial(many, single), single)


def _grouped(many: Transform, single: Transform, images: Tensor) -> Tensor:
    """Apply the grouped version; torchvision refuses other numbers of channels."""
    return many(images) if images.shape[1] in grouped.CHANNELS else _each(single, images)


def _each(transform: Transform, images: Tensor) -> Tensor:
    return torch.stack([transform(image) for image in images])
