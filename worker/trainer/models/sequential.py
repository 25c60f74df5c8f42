"""A model as a list of torch's layers."""

from collections.abc import Sequence

from torch import nn

from service.spec.models.layers import LayerBase
from service.spec.models.sequential import output_shape
from worker.trainer.models.activations import torchs


def sequential(shape: tuple[int, ...], outputs: int, layers: Sequence[LayerBase]) -> nn.Sequential:
    """x (B, *shape) -> (B, outputs), or (B, T, outputs) of tokens that no layer mixes.

    The spec's closed list says which of torch's classes a layer may name.
    """
    built: list[nn.Module] = []
    wanted = output_shape(layers, shape, outputs)
    for layer in layers:
        built.append(torchs(layer.layer)(**layer.arguments(shape)))
        shape = layer.gives(shape)
    if shape != wanted:
        raise ValueError(f"the last layer gives {shape}, and {wanted} is needed")
    return nn.Sequential(*built)
