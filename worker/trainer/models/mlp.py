"""Fully connected models; rows of any shape are flattened."""

import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from worker.trainer.models.activations import ACTIVATIONS

NORMS: dict[str, type[nn.BatchNorm1d] | type[nn.LayerNorm] | type[nn.RMSNorm]] = {
    "batch": nn.BatchNorm1d,
    "layer": nn.LayerNorm,
    "rms": nn.RMSNorm,
}


class MLP(nn.Module):
    """Per hidden layer: affine, normalisation, activation, dropout; then an affine output.

    `embeddings` (position, codes, width) are of numbers of a row that are codes; the others come first, as they are.
    """

    numbers: Tensor  # positions of the numbers that are no codes

    def __init__(
        self,
        shape: tuple[int, ...],
        outputs: int,
        hidden: Sequence[int] = (64,),
        activation: str = "relu",
        norm: str = "none",
        dropout: float = 0.0,
        bias: bool = True,
        embeddings: Sequence[dict[str, int]] = (),
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        width = math.prod(shape)
        self.coded = [each["position"] for each in embeddings]
        if embeddings:
            self.embeddings = nn.ModuleList(nn.Embedding(each["codes"], each["width"]) for each in embeddings)
            others = [position for position in range(width) if position not in self.coded]
            self.register_buffer("numbers", torch.tensor(others, dtype=torch.long), persistent=False)
            width = len(others) + sum(each["width"] for each in embeddings)
        for units in hidden:
            layers += [nn.Linear(width, units, bias), *_finish_layer(units, activation, norm, dropout)]
            width = units
        self.layers = nn.Sequential(*layers, nn.Linear(width, outputs, bias))

    def forward(self, x: Tensor) -> Tensor:
        """x (B, *shape) -> (B, outputs)."""
        x = x.flatten(1)
        if self.coded:
            pairs = zip(self.embeddings, self.coded, strict=True)
            learned = [table(x[:, position].long()) for table, position in pairs]
            x = torch.cat((x.index_select(1, self.numbers), *learned), 1)
        logits: Tensor = self.layers(x)
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
