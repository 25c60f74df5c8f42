"""The check of an augmentation: on drawn images, because no bundled dataset holds images of bytes."""

import torch
from torch import Tensor

from service.spec.augmentations import AugmentationBase
from service.spec.catalog import CATALOG
from worker.trainer.augment.augment import Augment
from worker.trainer.plugin_check.fault import Fault

SHAPE, IMAGES, CLASSES, SEED = (3, 16, 16), 8, 3, 11


def augmentation_of(kind: str) -> AugmentationBase:
    """Return the augmentation with its defaults, or as its `example` has it; raise `Fault` for a field without one."""
    member = CATALOG["augmentations"][kind]
    wanted = [name for name, field in member.model_fields.items() if field.is_required()]
    given = [part for part in member.example.get("augment", ()) if part.get("kind") == kind]
    if wanted and not given:
        raise Fault(f"has the field {wanted[0]} without a default: give a value in the class attribute example")
    made = member.model_validate(given[0] if given else {"kind": kind})
    assert isinstance(made, AugmentationBase)
    return made


def check_augmentation(component: AugmentationBase) -> str:
    """Augment a batch as two updates would, each twice; raise `Fault` unless bytes of the same shape come out alike."""
    draw = torch.Generator().manual_seed(SEED)
    images = torch.randint(256, (IMAGES, *SHAPE), generator=draw, dtype=torch.uint8)
    classes = torch.arange(IMAGES) % CLASSES
    augment = Augment([component], CLASSES, (SHAPE[1], SHAPE[2]), None, SEED)
    for step in (1, 2):
        found, targets = augment.bytes_of(step, images.clone(), classes)
        if not isinstance(found, Tensor) or found.dtype != torch.uint8 or found.shape != images.shape:
            told = f"{found.dtype} of shape {list(found.shape)}" if isinstance(found, Tensor) else type(found).__name__
            raise Fault(f"makes {told} of images: needed are bytes of shape {list(images.shape)}")
        wanted = (IMAGES, CLASSES) if component.mixes else (IMAGES,)
        if tuple(targets.shape) != wanted:
            raise Fault(f"makes targets of shape {list(targets.shape)}: needed is {list(wanted)}")
        again = augment.bytes_of(step, images.clone(), classes)
        if not (torch.equal(found, again[0]) and torch.equal(targets, again[1])):
            raise Fault("makes other images of the same seed and step: draw from torch's default generator only")
    return f"{IMAGES} images of shape {list(SHAPE)}, augmented alike again"
