"""A model from a list of torch's layers."""

from collections.abc import Sequence

from torch import nn

from service.spec.models.layers import LayerBase
from service.spec.models.sequential import block_length, output_shape
from worker.trainer.models.activations import activation_class
from worker.trainer.models.checkpointed import blocks_of


def sequential(
    shape: tuple[int, ...], outputs: int, layers: Sequence[LayerBase], activation_checkpointing: bool = False
) -> nn.Sequential:
    """x (B, *shape) -> (B, outputs), or (B, T, outputs) for tokens that no layer mixes.

    A layer names one of the classes that the spec allows.
    """
    built: list[nn.Module] = []
    wanted = output_shape(layers, shape, outputs)
    for layer in layers:
        built.append(activation_class(layer.layer)(**layer.arguments(shape)))
        shape = layer.gives(shape)
    if shape != wanted:
        raise ValueError(f"the last layer gives {shape}, but {wanted} is needed")
    return blocks_of(built, activation_checkpointing, block_length(len(built)))
