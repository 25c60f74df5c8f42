"""Attention of every member in one call of the fused kernel: members are rows of the batch."""

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention


class _Attend(torch.autograd.Function):
    """Attention whose `vmap` folds the members into the batch."""

    generate_vmap_rule = False

    @staticmethod
    def forward(q: Tensor, k: Tensor, v: Tensor, causal: bool) -> Tensor:
        """q, k, v (B, H, L, D) -> (B, H, L, D): only `vmap` is used."""
        return scaled_dot_product_attention(q, k, v, is_causal=causal)

    @staticmethod
    def setup_context(ctx: object, inputs: tuple[object, ...], output: Tensor) -> None:
        """Keep nothing."""

    @staticmethod
    def vmap(
        info: object, in_dims: tuple[int, int, int, None], q: Tensor, k: Tensor, v: Tensor, causal: bool
    ) -> tuple[Tensor, int]:
        """q, k, v with the members (R) at `in_dims` -> (R, B, H, L, D)."""
        q, k, v = q.movedim(in_dims[0], 0), k.movedim(in_dims[1], 0), v.movedim(in_dims[2], 0)
        attended = scaled_dot_product_attention(q.flatten(0, 1), k.flatten(0, 1), v.flatten(0, 1), is_causal=causal)
        return attended.view(len(q), -1, *attended.shape[1:]), 0


def attend(q: Tensor, k: Tensor, v: Tensor, is_causal: bool) -> Tensor:
    """Scaled dot-product attention inside a `vmap` over members; q, k and v depend on the member."""
    attended: Tensor = _Attend.apply(q, k, v, is_causal)  # type: ignore[no-untyped-call]
    return attended
