"""Small convolutional networks: convolutions with pooling, then fully connected layers."""

import math
from collections.abc import Iterator, Sequence

from torch import Tensor, nn

from worker.trainer.models.activations import ACTIVATIONS
from worker.trainer.models.norms import normalisation

CONV = {1: nn.Conv1d, 2: nn.Conv2d}
POOL = {1: nn.MaxPool1d, 2: nn.MaxPool2d}


class CNN(nn.Module):
    """Per channel count: convolution, normalisation, activation, max pooling; then dropout before each affine layer."""

    takes_flat_rows = False  # as one channel

    def __init__(
        self,
        shape: tuple[int, ...],
        outputs: int,
        channels: Sequence[int] = (16, 32),
        kernel_size: int = 3,
        pool: int = 2,
        hidden: Sequence[int] = (),
        activation: str = "relu",
        norm: str = "none",
        groups: int = 4,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        planes, *size = (1, *shape) if self.takes_flat_rows and len(shape) == 1 else shape
        if (rank := len(size)) not in CONV:
            raise ValueError(f"rows of shape {shape} are neither images nor sequences with channels")
        blocks: list[nn.Module] = []
        for count in channels:
            blocks.append(CONV[rank](planes, count, kernel_size, padding=kernel_size // 2))
            blocks += _finish_block(count, rank, pool, activation, norm, groups)
            grown = 1 - kernel_size % 2  # an even kernel padded by half of it adds one
            planes, size = count, [(n + grown) // pool for n in size]
        self.features = nn.Sequential(*blocks)
        self.head = nn.Sequential(*_head_layers(planes * math.prod(size), hidden, outputs, activation, dropout))

    def forward(self, x: Tensor) -> Tensor:
        """x (B, C, H, W) or (B, C, L), or (B, L) as one channel -> features (B, C', ...) -> (B, outputs)."""
        logits: Tensor = self.head(self.features(x if x.dim() > 2 else x.unsqueeze(1)).flatten(1))
        return logits


class CNN1d(CNN):
    """A CNN along a sequence, which may be a flat row."""

    takes_flat_rows = True


def _finish_block(count: int, rank: int, pool: int, activation: str, norm: str, groups: int) -> Iterator[nn.Module]:
    if norm != "none":
        yield normalisation(norm, count, rank, groups)
    yield ACTIVATIONS[activation]()
    if pool > 1:
        yield POOL[rank](pool)


def _head_layers(
    width: int, hidden: Sequence[int], outputs: int, activation: str, dropout: float
) -> Iterator[nn.Module]:
    for units in hidden:
        if dropout:
            yield nn.Dropout(dropout)
        yield nn.Linear(width, units)
        yield ACTIVATIONS[activation]()
        width = units
    if dropout:
        yield nn.Dropout(dropout)
    yield nn.Linear(width, outputs)
