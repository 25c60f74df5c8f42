"""Attention, and the choice of kernels that makes a model differentiable twice."""

import contextlib
from collections.abc import Iterator

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


class Attention(nn.Module):
    """Scaled dot-product self-attention (Vaswani et al. 2017, arXiv:1706.03762, eq. 1)."""

    def __init__(self, width: int, heads: int, causal: bool, dropout: float) -> None:
        super().__init__()
        self.heads, self.causal = heads, causal
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        if dropout:
            self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """x (B, L, W) -> (B, L, W); with `causal`, position t sees positions up to t."""
        rows, length, width = x.shape
        parts = self.qkv(x).view(rows, length, 3, self.heads, width // self.heads)
        q, k, v = parts.permute(2, 0, 3, 1, 4)  # each (B, heads, L, W / heads)
        attended = scaled_dot_product_attention(q, k, v, is_causal=self.causal)
        y: Tensor = self.out(attended.transpose(1, 2).reshape(rows, length, width))
        return self.dropout(y) if hasattr(self, "dropout") else y
