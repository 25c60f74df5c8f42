"""Jitter and policies for a whole batch at once: torchvision's bytes, and torchvision's draws, image by image."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from worker.trainer.augment import adjustments, grouped
from worker.trainer.augment.adjustments import Adjust
from worker.trainer.optional_imports import import_optional

TRANSFORMS: dict[str, tuple[Callable[[Any, Tensor], Tensor], str, dict[str, Any]]] = {
    "all of jitter": (
        grouped.jitter,
        "ColorJitter",
        {"brightness": 0.4, "contrast": 0.4, "saturation": 0.4, "hue": 0.1},
    ),
    "some of jitter": (grouped.jitter, "ColorJitter", {"contrast": 2.0, "hue": 0.5}),
    "none of jitter": (grouped.jitter, "ColorJitter", {}),
    "rand augment": (grouped.rand_augment, "RandAugment", {}),
    "rand augment, more": (
        grouped.rand_augment,
        "RandAugment",
        {"num_ops": 4, "magnitude": 17, "num_magnitude_bins": 40},
    ),
    "trivial augment": (grouped.trivial_augment, "TrivialAugmentWide", {}),
    "trivial augment, few": (grouped.trivial_augment, "TrivialAugmentWide", {"num_magnitude_bins": 4}),
}
# Sizes that fill the processor's vectors and sizes that do not: the rest of a row is computed by other instructions.
SHAPES = [(48, 3, 32, 32), (48, 3, 13, 17), (32, 1, 9, 9), (1, 3, 8, 8), (8, 3, 101, 67), (8, 3, 2, 2)]
ADJUSTMENTS = [
    (adjustments.brightness, "adjust_brightness", (0.0, 2.0)),
    (adjustments.saturation, "adjust_saturation", (0.0, 2.0)),
    (adjustments.contrast, "adjust_contrast", (0.0, 2.0)),
    (adjustments.sharpness, "adjust_sharpness", (0.0, 2.0)),
    (adjustments.hue, "adjust_hue", (-0.5, 0.5)),
]


@pytest.fixture(params=[torch.float32, torch.float64], ids=str)
def _precision(request: pytest.FixtureRequest) -> Iterator[None]:
    """Compute in this type, as the precision fp64 does."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(request.param)
    yield
    torch.set_default_dtype(before)


def images_of(shape: tuple[int, ...], seed: int) -> Tensor:
    drawn = torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))
    drawn[-1] = 7  # one image of one value
    return drawn


@pytest.mark.usefixtures("_precision")
@pytest.mark.parametrize("name", TRANSFORMS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_a_batch_is_what_torchvision_makes_of_each_image(name: str, shape: tuple[int, ...]) -> None:
    together, theirs, arguments = TRANSFORMS[name]
    single = getattr(import_optional("torchvision.transforms.v2", "vision"), theirs)(**arguments)
    for seed in range(3):
        images = images_of(shape, seed)
        before = images.clone()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            expected, next_expected = torch.stack([single(image) for image in images]), torch.rand(())
            torch.manual_seed(seed)
            found, next_found = together(single, images), torch.rand(())
        assert torch.equal(found, expected)
        assert next_found == next_expected
        assert torch.equal(images, before)


@pytest.mark.usefixtures("_precision")
@pytest.mark.parametrize(("adjust", "theirs", "bounds"), ADJUSTMENTS, ids=[each[1] for each in ADJUSTMENTS])
def test_each_image_is_adjusted_by_its_own_factor(adjust: Adjust, theirs: str, bounds: tuple[float, float]) -> None:
    single = getattr(import_optional("torchvision.transforms.v2.functional", "vision"), theirs)
    for seed, shape in enumerate(SHAPES):
        images = images_of(shape, seed)
        factors = torch.empty(len(images)).uniform_(*bounds, generator=torch.Generator().manual_seed(seed)).tolist()
        factors[0] = bounds[0]
        expected = [single(image, factor) for image, factor in zip(images, factors, strict=True)]
        assert torch.equal(adjust(images, factors), torch.stack(expected)), shape


def test_every_operation_of_the_policies_is_drawn() -> None:
    """So that the bytes above are those of all operations."""
    policies = import_optional("torchvision.transforms.v2", "vision")
    for policy in (policies.RandAugment(), policies.TrivialAugmentWide()):
        drawn = {grouped._draw(grouped._strengths(policy, images_of((1, 3, 8, 8), 0)), 0)[0] for _ in range(500)}
        assert drawn == {*policy._AUGMENTATION_SPACE}
        assert drawn >= {*grouped.ADJUSTED, *grouped.MATRICES}
