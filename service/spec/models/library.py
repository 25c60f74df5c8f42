"""Models of other libraries with random weights, by name. Only a worker with the library can build them."""

from typing import Annotated, Literal

from pydantic import Field

from service.spec.models.base import ModelBase

# A name is looked up in the library's registry, and nowhere else.
ModelName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_]{0,63}(\.[a-z0-9_]{1,63})?$")]


class LibraryBase(ModelBase):
    """A model whose layout is unknown until it is built."""

    ranks = (3,)

    def leaves(self, shape: tuple[int, ...], outputs: int) -> None:
        """Return None: unknown here."""
        return


class Torchvision(LibraryBase):
    """A torchvision classification model with random weights; its outputs match the dataset's classes."""

    target = "worker.trainer.models.third_party:torchvision_model"
    needs = ("torchvision",)

    kind: Literal["torchvision"] = "torchvision"
    name: ModelName = Field(description='name in torchvision.models.list_models(), such as "resnet18"')


class Timm(LibraryBase):
    """A timm image model with random weights; its inputs and outputs match the dataset's channels and classes."""

    target = "worker.trainer.models.third_party:timm_model"
    needs = ("timm",)

    kind: Literal["timm"] = "timm"
    name: ModelName = Field(description='name in timm.list_models(), such as "resnet18"')
