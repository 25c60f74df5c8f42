"""Fully connected models; rows of any shape are flattened."""

import math
from collections.abc import Iterator, Sequence

from torch import Tensor, nn

from worker.trainer.models.activations import ACTIVATIONS

NORMS: dict[str, type[nn.BatchNorm1d] | type[nn.LayerNorm] | type[nn.RMSNorm]] = {
    "batch": nn.BatchNorm1d,
    "layer": nn.LayerNorm,
    "rms": nn.RMSNorm,
}


class MLP(nn.Module):
    """Per hidden layer: affine, normalisation, activation, dropout; then an affine output."""

    def __init__(
        self,
        shape: tuple[int, ...],
        outputs: int,
        hidden: Sequence[int] = (64,),
        activation: str = "relu",
        norm: str = "none",
        dropout: float = 0.0,
        bias: bool = True,
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        width = math.prod(shape)
        for units in hidden:
            layers += [nn.Linear(width, units, bias), *_finish_layer(units, activation, norm, dropout)]
            width = units
        self.layers = nn.Sequential(*layers, nn.Linear(width, outputs, bias))

    def forward(self, x: Tensor) -> Tensor:
        """x (B, *shape) -> (B, outputs)."""
        logits: Tensor = self.layers(x.flatten(1))
        return logits


def _finish_layer(units: int, activation: str, norm: str, dropout: float) -> Iterator[nn.Module]:
    if norm != "none":
        yield NORMS[norm](units)
    yield ACTIVATIONS[activation]()
    if dropout:
        yield nn.Dropout(dropout)


def linear(shape: tuple[int, ...], outputs: int, bias: bool = True) -> MLP:
    """One affine map of the flattened row."""
    return MLP(shape, outputs, hidden=(), bias=bias)
