"""torchvision's jitter of colours and its policies for a whole batch: drawn image by image, applied group by group.

An image draws what torchvision would draw for it, in the same order. All images that drew one operation then go through
it together, each with its own strength; they get the bytes that torchvision gives them alone.
"""

import math
from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any

import torch
from torch import Tensor

from worker.trainer.augment import adjustments
from worker.trainer.augment.adjustments import Adjust, Factors
from worker.trainer.optional_imports import import_optional

CHANNELS = (1, 3)  # of images that these transforms take
Chosen = tuple[str, float]  # an operation of a policy and its strength
JITTER: tuple[tuple[str, Adjust], ...] = (  # in the order of torchvision's numbers
    ("brightness_factor", adjustments.brightness),
    ("contrast_factor", adjustments.contrast),
    ("saturation_factor", adjustments.saturation),
    ("hue_factor", adjustments.hue),
)


def jitter(theirs: Any, images: Tensor) -> Tensor:
    """Apply torchvision's ColorJitter to images (B, C, H, W) of bytes."""
    drawn = [theirs.make_params([]) for _ in images]
    order = torch.stack([each["fn_idx"] for each in drawn])
    images = images.clone()
    for place in range(len(JITTER)):
        for number, (name, adjust) in enumerate(JITTER):
            rows = (order[:, place] == number).nonzero().flatten()
            if len(rows) and drawn[0][name] is not None:
                images[rows] = adjust(images[rows], [drawn[row][name] for row in rows.tolist()])
    return images


def rand_augment(theirs: Any, images: Tensor) -> Tensor:
    """Apply torchvision's RandAugment to images (B, C, H, W) of bytes."""
    space = _strengths(theirs, images)
    drawn = [[_draw(space, theirs.magnitude) for _ in range(theirs.num_ops)] for _ in images]
    for chosen in zip(*drawn, strict=True):
        images = _apply(theirs, images, chosen)
    return images


def trivial_augment(theirs: Any, images: Tensor) -> Tensor:
    """Apply torchvision's TrivialAugmentWide to images (B, C, H, W) of bytes."""
    space = _strengths(theirs, images)
    return _apply(theirs, images, [_draw(space, None) for _ in images])


Space = list[tuple[str, list[float] | None, bool]]  # operations, their strengths, and whether the sign is drawn


def _strengths(theirs: Any, images: Tensor) -> Space:
    """Return the operations of a policy, with all strengths for images of this size."""
    found: Space = []
    for name, (magnitudes, signed) in theirs._AUGMENTATION_SPACE.items():
        values = magnitudes(theirs.num_magnitude_bins, *images.shape[-2:])
        found.append((name, None if values is None else [float(value) for value in values], signed))
    return found


def _draw(space: Space, at: int | None) -> Chosen:
    """Draw an operation for one image, and its strength unless it is the one `at` this place."""
    name, strengths, signed = space[int(torch.randint(len(space), ()))]
    if strengths is None:
        return name, 0.0
    strength = strengths[int(torch.randint(len(strengths), ())) if at is None else at]
    return name, -strength if signed and float(torch.rand(())) <= 0.5 else strength


def _apply(theirs: Any, images: Tensor, chosen: Sequence[Chosen]) -> Tensor:
    """Apply to each image the operation that it drew."""
    images = images.clone()
    order = sorted(range(len(chosen)), key=lambda row: chosen[row][0])
    for name, group in groupby(order, key=lambda row: chosen[row][0]):
        if name != "Identity":
            rows = list(group)
            images[rows] = _apply_one(theirs, name, images[rows], [chosen[row][1] for row in rows])
    return images


def _apply_one(theirs: Any, name: str, images: Tensor, strengths: Factors) -> Tensor:
    """Apply one operation to all images; of strengths that it knows for one image only, to those with the same."""
    if name in ADJUSTED:
        adjust, factor = ADJUSTED[name]
        return adjust(images, [factor(strength) for strength in strengths])
    if name in MATRICES and not (name == "Rotate" and any(strength % 90 == 0 for strength in strengths)):
        return _move(name, images, strengths)
    moved = torch.empty_like(images)
    options = {"interpolation": theirs.interpolation, "fill": theirs._fill}
    for strength in {*strengths}:
        rows = [row for row, each in enumerate(strengths) if each == strength]
        moved[rows] = theirs._apply_image_or_video_transform(images[rows], name, strength, **options)
    return moved


ADJUSTED: dict[str, tuple[Adjust, Callable[[float], float]]] = {
    "Brightness": (adjustments.brightness, lambda strength: 1.0 + strength),
    "Color": (adjustments.saturation, lambda strength: 1.0 + strength),
    "Contrast": (adjustments.contrast, lambda strength: 1.0 + strength),
    "Sharpness": (adjustments.sharpness, lambda strength: 1.0 + strength),
    "Posterize": (adjustments.posterize, lambda strength: strength),
    "Solarize": (adjustments.solarize, lambda strength: 255 * strength),
}


def _shear(strength: float) -> float:
    return math.degrees(math.atan(strength))


# Of each operation that moves pixels: angle, translation and shear, and whether it is about the upper left corner.
Motion = tuple[float, list[float], list[float], bool]
MATRICES: dict[str, Callable[[float], Motion]] = {
    "ShearX": lambda strength: (0.0, [0.0, 0.0], [_shear(strength), 0.0], True),
    "ShearY": lambda strength: (0.0, [0.0, 0.0], [0.0, _shear(strength)], True),
    "TranslateX": lambda strength: (0.0, [float(int(strength)), 0.0], [0.0, 0.0], False),
    "TranslateY": lambda strength: (0.0, [0.0, float(int(strength))], [0.0, 0.0], False),
    "Rotate": lambda strength: (-(strength % 360), [0.0, 0.0], [0.0, 0.0], False),
}


def _move(name: str, images: Tensor, strengths: Factors) -> Tensor:
    """Take each pixel from where the operation's matrix says; outside of the image it is black."""
    geometry = import_optional("torchvision.transforms.v2.functional._geometry", "vision")
    height, width = images.shape[-2:]
    base = torch.ones(1, height, width, 3, dtype=torch.float32)
    base[..., 0] = torch.linspace((1.0 - width) * 0.5, (width - 1.0) * 0.5, width)
    base[..., 1] = torch.linspace((1.0 - height) * 0.5, (height - 1.0) * 0.5, height)[:, None]
    grids, half = {}, torch.tensor([0.5 * width, 0.5 * height], dtype=torch.float32)
    for strength in {*strengths}:
        angle, translation, shear, at_corner = MATRICES[name](strength)
        center = [-0.5 * width, -0.5 * height] if at_corner else [0.0, 0.0]
        matrix = geometry._get_inverse_affine_matrix(center, angle, translation, 1.0, shear)
        theta = torch.tensor(matrix, dtype=torch.float32).reshape(1, 2, 3).transpose(1, 2)
        grids[strength] = base.view(1, -1, 3).bmm(theta / half).view(1, height, width, 2)
    grid = torch.cat([grids[strength] for strength in strengths])
    moved: Tensor = geometry._apply_grid_transform(images, grid, "nearest", fill=None)
    return moved
