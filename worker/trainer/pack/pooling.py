"""Max pooling of channels that come last, by windows that do not overlap: a few passes over contiguous memory."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

threshold_backward = torch.ops.aten.threshold_backward


class _MaxOfWindows(torch.autograd.Function):
    """The largest value of each window along one dimension; of equal ones, the first has the gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, size: int, dim: int) -> Tensor:
        """x (..., L, ...) -> (..., L // size, ...)."""
        ctx.save_for_backward(x)
        ctx.size, ctx.dim = size, dim
        first, *others = _places(x, size, dim)
        return _running(first, others)[-1]

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, None, None]:
        """Give each gradient to the place of the largest value."""
        (x,), dim = ctx.saved_tensors, ctx.dim
        first, *others = _places(x, ctx.size, dim)
        largest = [first, *_running(first, others[:-1])]
        found = torch.empty_like(x)
        windows = x.shape[dim] // ctx.size * ctx.size
        found.narrow(dim, windows, x.shape[dim] - windows).zero_()
        into = _places(found, ctx.size, dim)
        for at in range(len(others), 0, -1):
            threshold_backward.grad_input(slope, others[at - 1] - largest[at - 1], 0, grad_input=into[at])
            slope = torch.sub(slope, into[at])
        into[0].copy_(slope)
        return found, None, None


def _places(x: Tensor, size: int, dim: int) -> Sequence[Tensor]:
    """Return the first, second, ... value of every window, as views."""
    whole = x.narrow(dim, 0, x.shape[dim] // size * size)
    return whole.view(*x.shape[:dim], -1, size, *x.shape[dim + 1 :]).unbind(dim + 1)


def _running(first: Tensor, others: Sequence[Tensor]) -> list[Tensor]:
    """Return the largest values so far."""
    found = [first]
    for each in others:
        found.append(torch.maximum(found[-1], each))
    return found[1:] or found


def max_pool(x: Tensor, size: Sequence[int]) -> Tensor:
    """x (B, L, C) or (B, H, W, C), windows of `size` -> (B, L', C) or (B, H', W', C).

    Rows are pooled before columns, so of equal values torch's choice has the gradient: the first, row by row.
    """
    for dim in range(len(size), 0, -1):
        if size[dim - 1] > 1:
            x = _MaxOfWindows.apply(x, size[dim - 1], dim)  # type: ignore[no-untyped-call]
    return x
