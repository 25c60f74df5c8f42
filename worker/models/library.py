"""Models of other libraries, by a name that the library's own registry has; never with downloaded weights."""

import importlib
from types import ModuleType
from typing import Any

from torch import nn

from service.errors import RunFailure


def torchvision_model(shape: tuple[int, ...], outputs: int, name: str) -> nn.Module:
    """x (B, 3, H, W) -> (B, outputs)."""
    library = _library("torchvision").models
    _known("torchvision", name, library.list_models(module=library))
    model: nn.Module = library.get_model(name, weights=None, num_classes=outputs)
    return model


def timm_model(shape: tuple[int, ...], outputs: int, name: str) -> nn.Module:
    """x (B, C, H, W) -> (B, outputs)."""
    library = _library("timm")
    _known("timm", name, library.list_models())
    model: nn.Module = library.create_model(name, pretrained=False, num_classes=outputs, in_chans=shape[0])
    return model


def _library(name: str) -> Any:
    try:
        found: ModuleType = importlib.import_module(name)
    except ImportError as error:
        detail = f"{name} is not installed on this worker: install saddle[vision] there, or use resnet."
        raise RunFailure("spec_cannot_build", detail) from error
    return found


def _known(library: str, name: str, names: list[str]) -> None:
    if name not in names:
        raise RunFailure("spec_cannot_build", f"{library} has no model {name}.")
