"""Normalisations between convolutions by the spec's name and the number of position dimensions; frozen statistics."""

from types import MethodType
from typing import TypeGuard

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

BATCH = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d}
INSTANCE = {1: nn.InstanceNorm1d, 2: nn.InstanceNorm2d}


def normalisation(norm: str, channels: int, rank: int, groups: int) -> nn.Module:
    """Return a normalisation with a scale and shift per channel; `layer` is one group over channels and positions."""
    if norm == "batch":
        return BATCH[rank](channels)
    if norm == "instance":
        return INSTANCE[rank](channels, affine=True)
    return nn.GroupNorm(1 if norm == "layer" else groups, channels)


def has_statistics(layer: nn.Module) -> TypeGuard[_BatchNorm]:
    """Whether the layer normalises by running statistics in evaluation."""
    return isinstance(layer, _BatchNorm) and layer.track_running_stats


def freeze_statistics(layer: _BatchNorm) -> None:
    """Keep a batch normalisation in evaluation mode, whatever mode its model is switched to."""
    layer.eval()
    vars(layer)["train"] = MethodType(_stay, layer)  # copied with a copy of the layer


def _stay(layer: _BatchNorm, mode: bool = True) -> _BatchNorm:
    return layer


def with_changing_statistics(model: nn.Module) -> list[_BatchNorm]:
    """Return the layers whose running statistics change in training."""
    return [layer for layer in model.modules() if has_statistics(layer) and "train" not in vars(layer)]
