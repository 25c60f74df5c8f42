"""A model as a list of torch's layers."""

from collections.abc import Sequence

from torch import nn

from service.spec.models.layers import Layer_
from worker.models.activations import torchs


def sequential(shape: tuple[int, ...], outputs: int, layers: Sequence[Layer_]) -> nn.Sequential:
    """x (B, *shape) -> (B, outputs); the spec's closed list says which of torch's classes a layer may name."""
    built: list[nn.Module] = []
    for layer in layers:
        built.append(torchs(layer.layer)(**layer.arguments(shape)))
        shape = layer.gives(shape)
    if shape != (outputs,):
        raise ValueError(f"the last layer gives {shape}, and {outputs} outputs are needed")
    return nn.Sequential(*built)
