"""A small convolutional network: convolutions with pooling, then fully connected layers."""

import math
from collections.abc import Iterator, Sequence

from torch import Tensor, nn

from worker.models.activations import ACTIVATIONS


class CNN(nn.Module):
    """Per channel count: convolution, normalisation, activation, max pooling; then dropout before each affine layer."""

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
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        planes, height, width = shape
        blocks: list[nn.Module] = []
        for count in channels:
            blocks += _block(planes, count, kernel_size, pool, activation, norm)
            grown = 1 - kernel_size % 2  # an even kernel padded by half of it adds one
            planes, height, width = count, (height + grown) // pool, (width + grown) // pool
        self.features = nn.Sequential(*blocks)
        self.head = nn.Sequential(*_head(math.prod((planes, height, width)), hidden, outputs, activation, dropout))

    def forward(self, x: Tensor) -> Tensor:
        """x (B, C, H, W) -> features (B, C', H', W') -> (B, outputs)."""
        logits: Tensor = self.head(self.features(x).flatten(1))
        return logits


def _block(planes: int, count: int, kernel_size: int, pool: int, activation: str, norm: str) -> Iterator[nn.Module]:
    yield nn.Conv2d(planes, count, kernel_size, padding=kernel_size // 2)
    if norm == "batch":
        yield nn.BatchNorm2d(count)
    yield ACTIVATIONS[activation]()
    if pool > 1:
        yield nn.MaxPool2d(pool)


def _head(width: int, hidden: Sequence[int], outputs: int, activation: str, dropout: float) -> Iterator[nn.Module]:
    for units in hidden:
        if dropout:
            yield nn.Dropout(dropout)
        yield nn.Linear(width, units)
        yield ACTIVATIONS[activation]()
        width = units
    if dropout:
        yield nn.Dropout(dropout)
    yield nn.Linear(width, outputs)
