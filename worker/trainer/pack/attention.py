"""Attention of every member in one call: members are rows of the batch.

The fused kernel spends most of its time on calls where there are many short sequences. On a CPU these are batched
products, with a softmax over columns: one over short rows, whose numbers lie side by side, takes twenty times as long.
"""

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

SHORT = 8  # positions: a step of longer ones was not measured to gain (tests/benchmarks/LOG.md)


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
        if q.device.type == "cpu" and q.shape == k.shape == v.shape and q.shape[-2] <= SHORT:
            return attend_short(q, k, v, causal), 0
        attended = scaled_dot_product_attention(q.flatten(0, 1), k.flatten(0, 1), v.flatten(0, 1), is_causal=causal)
        return attended.view(len(q), -1, *attended.shape[1:]), 0


class _AttendShort(torch.autograd.Function):
    """Scores are kept by keys, (L keys, N, L queries), so that the softmax over keys is that of columns."""

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, causal: bool) -> Tensor:
        """q, k, v (N, L, D) -> (N, L, D)."""
        n, length, width = q.shape
        scores = _by_keys(torch.bmm(k, q.transpose(1, 2)).mul_(1 / math.sqrt(width)))
        if causal:
            later = torch.ones(length, length, dtype=torch.bool, device=q.device).tril(-1)  # keys after the query
            scores.masked_fill_(later.unsqueeze(1), -math.inf)
        shares = torch.softmax(scores.view(length, -1), 0).view(length, n, length)
        by_row = shares.transpose(0, 1).contiguous()
        ctx.save_for_backward(q, k, v, shares, by_row)
        return torch.bmm(by_row.transpose(1, 2), v)

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        """Slope (N, L, D) -> those of q, k and v."""
        q, k, v, shares, by_row = ctx.saved_tensors
        n, length, width = q.shape
        of_shares = _by_keys(torch.bmm(v, slope.transpose(1, 2))).view(length, -1)
        scores = torch._softmax_backward_data(of_shares, shares.view(length, -1), 0, q.dtype)
        of_scores = scores.mul_(1 / math.sqrt(width)).view(length, n, length).transpose(0, 1).contiguous()
        return torch.bmm(of_scores.transpose(1, 2), k), torch.bmm(of_scores, q), torch.bmm(by_row, slope), None


def _by_keys(scores: Tensor) -> Tensor:
    """Scores (N, keys, queries) -> (keys, N, queries)."""
    return scores.transpose(0, 1).contiguous()


def attend_short(q: Tensor, k: Tensor, v: Tensor, causal: bool) -> Tensor:
    """q, k, v (..., L, D) -> (..., L, D), for many short sequences."""
    flat = (each.reshape(-1, *each.shape[-2:]) for each in (q, k, v))
    attended: Tensor = _AttendShort.apply(*flat, causal)  # type: ignore[no-untyped-call]
    return attended.view(q.shape)


def attend(q: Tensor, k: Tensor, v: Tensor, is_causal: bool) -> Tensor:
    """Scaled dot-product attention inside a `vmap` over members; q, k and v depend on the member."""
    attended: Tensor = _Attend.apply(q, k, v, is_causal)  # type: ignore[no-untyped-call]
    return attended
