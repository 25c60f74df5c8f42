"""Attention, and the choice of kernels that makes a model differentiable twice."""

import contextlib
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention


@contextlib.contextmanager
def twice_differentiable(model: nn.Module) -> Iterator[None]:
    """Use kernels with a second derivative: fused attention and cuDNN's recurrent cells have none.

    cuDNN stays on for all other models, because its convolutions have one and are those that train. Its switch is set
    directly: torch.backends.cudnn.flags would also turn TF32 on.
    """
    cudnn, recurrent = torch.backends.cudnn.enabled, any(isinstance(each, nn.RNNBase) for each in model.modules())
    torch.backends.cudnn.enabled = cudnn and not recurrent
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.cudnn.enabled = cudnn


def rotary_table(length: int, size: int, base: float) -> Tensor:
    """Return the cosines and sines (2, L, size / 2) of position t times frequency base^(-2i / size).

    Su et al. 2021, arXiv:2104.09864, eq. 15. Computed in float64.
    """
    frequencies = base ** (-torch.arange(0, size, 2, dtype=torch.float64) / size)
    angles = torch.arange(length, dtype=torch.float64)[:, None] * frequencies
    return torch.stack((angles.cos(), angles.sin())).to(torch.get_default_dtype())


def rotate(x: Tensor, table: Tensor) -> Tensor:
    """Turn x (B, H, L, D): its pairs (x_i, x_{i + D/2}) by the angles of `table` (2, L, D / 2)."""
    cos, sin = table.to(x.dtype)
    first, second = x.chunk(2, -1)
    return torch.cat((first * cos - second * sin, second * cos + first * sin), -1)


class Attention(nn.Module):
    """Scaled dot-product self-attention (Vaswani et al. 2017, arXiv:1706.03762, eq. 1).

    With fewer `kv_heads` than heads, consecutive queries share keys and values (Ainslie et al. 2023, arXiv:2305.13245).
    `rotary` (2, L, D / 2) turns queries and keys by their positions.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        causal: bool,
        dropout: float,
        kv_heads: int | None = None,
        bias: bool = True,
        rotary: Tensor | None = None,
    ) -> None:
        super().__init__()
        self.heads, self.kv_heads, self.causal = heads, kv_heads or heads, causal
        self.size = width // heads
        self.attend: Callable[..., Tensor] = scaled_dot_product_attention  # a pack has its own
        self.qkv = nn.Linear(width, (heads + 2 * self.kv_heads) * self.size, bias=bias)
        self.out = nn.Linear(width, width, bias=bias)
        if dropout:
            self.dropout = nn.Dropout(dropout)
        self.register_buffer("rotary", rotary, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """x (B, L, W) -> (B, L, W); with `causal`, position t sees positions up to t."""
        rows, length, width = x.shape
        parts = self.qkv(x).view(rows, length, -1, self.size).transpose(1, 2)
        q, k, v = parts.split((self.heads, self.kv_heads, self.kv_heads), 1)  # each (B, heads, L, W / heads)
        if isinstance(self.rotary, Tensor):
            table = self.rotary[:, :length]
            q, k = rotate(q, table), rotate(k, table)
        if self.kv_heads < self.heads:  # repeated: not every fused kernel takes groups
            k, v = (each.repeat_interleave(self.heads // self.kv_heads, 1) for each in (k, v))
        attended = self.attend(q, k, v, is_causal=self.causal)
        y: Tensor = self.out(attended.transpose(1, 2).reshape(rows, length, width))
        return self.dropout(y) if hasattr(self, "dropout") else y
