"""Models of other libraries, by their registered name; never with downloaded weights."""

from torch import nn

from service.errors import RunFailure
from worker.trainer.optional_imports import import_optional


def torchvision_model(shape: tuple[int, ...], outputs: int, name: str) -> nn.Module:
    """x (B, 3, H, W) -> (B, outputs)."""
    models = import_optional("torchvision", "vision").models
    _check_name("torchvision", name, models.list_models(module=models))
    model: nn.Module = models.get_model(name, weights=None, num_classes=outputs)
    return model


def timm_model(shape: tuple[int, ...], outputs: int, name: str) -> nn.Module:
    """x (B, C, H, W) -> (B, outputs)."""
    timm = import_optional("timm", "vision")
    _check_name("timm", name, timm.list_models())
    model: nn.Module = timm.create_model(name, pretrained=False, num_classes=outputs, in_chans=shape[0])
    return model


def _check_name(package: str, name: str, names: list[str]) -> None:
    if name not in names:
        raise RunFailure("spec_cannot_build", f"{package} has no model {name}.")
