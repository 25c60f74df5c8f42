"""A small residual network for images (He et al. 2016, arXiv:1512.03385, section 4.2)."""

from collections.abc import Iterator

from torch import Tensor, nn

from worker.trainer.models.activations import ACTIVATIONS
from worker.trainer.models.checkpointed import blocks_of
from worker.trainer.models.norms import normalisation


class Block(nn.Module):
    """Two 3 x 3 convolutions and a shortcut, which is a 1 x 1 convolution where the shape changes."""

    def __init__(self, planes: int, count: int, stride: int, activation: str, norm: str, groups: int) -> None:
        super().__init__()
        inner = [*_conv_and_norm(planes, count, 3, stride, norm, groups), ACTIVATIONS[activation]()]
        self.inner = nn.Sequential(*inner, *_conv_and_norm(count, count, 3, 1, norm, groups))
        changes = stride > 1 or planes != count
        self.shortcut = nn.Sequential(*_conv_and_norm(planes, count, 1, stride, norm, groups)) if changes else None
        self.outer = ACTIVATIONS[activation]()

    def forward(self, x: Tensor) -> Tensor:
        """x (B, C, H, W) -> (B, C', H', W')."""
        within = self.inner(x)
        beside = x if self.shortcut is None else self.shortcut(x)
        y: Tensor = self.outer(within + beside)
        return y


class ResNet(nn.Module):
    """Stem, stages of blocks, mean over positions, affine output."""

    def __init__(
        self,
        shape: tuple[int, ...],
        outputs: int,
        blocks: int = 1,
        stages: int = 3,
        width: int = 16,
        activation: str = "relu",
        norm: str = "batch",
        groups: int = 4,
        activation_checkpointing: bool = False,
    ) -> None:
        super().__init__()
        self.stem = nn.Sequential(*_conv_and_norm(shape[0], width, 3, 1, norm, groups), ACTIVATIONS[activation]())
        chain, planes = [], width
        for stage in range(stages):
            for block in range(blocks):
                count, stride = width * 2**stage, 2 if stage and not block else 1
                chain.append(Block(planes, count, stride, activation, norm, groups))
                planes = count
        self.blocks = blocks_of(chain, activation_checkpointing)
        self.head = nn.Linear(planes, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """x (B, C, H, W) -> features (B, width * 2^(stages-1), H', W') -> (B, outputs)."""
        logits: Tensor = self.head(self.blocks(self.stem(x)).mean((2, 3)))
        return logits


def _conv_and_norm(planes: int, count: int, kernel: int, stride: int, norm: str, groups: int) -> Iterator[nn.Module]:
    """Yield a convolution, which keeps the size at stride 1, and its normalisation, whose shift is the bias."""
    yield nn.Conv2d(planes, count, kernel, stride=stride, padding=kernel // 2, bias=norm == "none")
    if norm != "none":
        yield normalisation(norm, count, 2, groups)
