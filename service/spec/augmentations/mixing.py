"""Mixtures of pairs of images and of their classes; one draw for each batch, as their authors do."""

from typing import Annotated, Literal

from pydantic import Field

from service.spec.augmentations.base import AugmentationBase

Alpha = Annotated[float, Field(gt=0, le=100, description="both parameters of the beta distribution of shares")]


class Mixup(AugmentationBase):
    """Average each image and its class with another of the batch (Zhang et al. 2017)."""

    target = "worker.trainer.augment.mixing:Mixup"
    paper = "https://arxiv.org/abs/1710.09412"
    needs = ()
    mixes = True

    kind: Literal["mixup"] = "mixup"
    alpha: Alpha = 0.2


class CutMix(AugmentationBase):
    """Paste a rectangle of another image of the batch, and mix the classes by area (Yun et al. 2019)."""

    target = "worker.trainer.augment.mixing:CutMix"
    paper = "https://arxiv.org/abs/1905.04899"
    needs = ()
    mixes = True

    kind: Literal["cutmix"] = "cutmix"
    alpha: Alpha = 1.0
