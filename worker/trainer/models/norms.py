"""Normalisations between convolutions, by the spec's name and the number of position dimensions."""

from torch import nn

BATCH = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d}
INSTANCE = {1: nn.InstanceNorm1d, 2: nn.InstanceNorm2d}


def normalisation(norm: str, channels: int, rank: int, groups: int) -> nn.Module:
    """Return a normalisation with a scale and shift per channel; `layer` is one group over channels and positions."""
    if norm == "batch":
        return BATCH[rank](channels)
    if norm == "instance":
        return INSTANCE[rank](channels, affine=True)
    return nn.GroupNorm(1 if norm == "layer" else groups, channels)
