"""Convolutions, poolings and group normalisations of every member in one call: members are groups of channels.

The channels come last in memory. With the channels first, as `vmap` has them, torch's grouped convolution takes up to
five times longer on a CPU, and its max pooling ten times.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, conv2d, group_norm, max_pool2d

from worker.trainer.pack.pooling import max_pool

Batched = Callable[..., Tensor]  # of stacked tensors (R, B, C, ...) and (R, ...)


class _OfMembers(torch.autograd.Function):
    """A layer inside a `vmap` over members, by a function of their stacked tensors."""

    generate_vmap_rule = False

    @staticmethod
    def forward(layer: nn.Module, compute: Batched, *tensors: Tensor | None) -> Tensor:
        """Compute as alone: of rows that are the same for all, and no weights."""
        found: Tensor = type(layer).forward(layer, tensors[0])
        return found

    @staticmethod
    def setup_context(ctx: object, inputs: tuple[object, ...], output: Tensor) -> None:
        """Keep nothing: rows need no gradient."""

    @staticmethod
    def vmap(
        info: Any, in_dims: tuple[int | None, ...], layer: nn.Module, compute: Batched, x: Tensor, *own: Tensor | None
    ) -> tuple[Tensor, int]:
        """x with the members at `in_dims`, None where rows are shared, and weights -> (R, B, C', ...)."""
        of_x, *of_own = in_dims[2:]
        x = x.expand(info.batch_size, *x.shape) if of_x is None else x.movedim(of_x, 0)
        weights = [
            each if at is None or each is None else each.movedim(at, 0) for each, at in zip(own, of_own, strict=True)
        ]
        return compute(x, *weights), 0


def fold_members(layer: nn.Module) -> None:
    """Give a layer a forward pass for a `vmap` over members on a CPU, if it is one of those above."""
    if isinstance(layer, nn.Conv1d | nn.Conv2d) and layer.padding_mode == "zeros":
        compute: Batched = partial(_convolve, layer)
    elif isinstance(layer, nn.GroupNorm):
        compute = partial(_normalise, layer)
    elif isinstance(layer, nn.MaxPool1d | nn.MaxPool2d | nn.AvgPool1d | nn.AvgPool2d):
        compute = partial(_pool, _pooling(layer))
    else:
        return

    def forward(x: Tensor) -> Tensor:
        own = (getattr(layer, name, None) for name in ("weight", "bias"))
        found: Tensor = _OfMembers.apply(layer, compute, x, *own)  # type: ignore[no-untyped-call]
        return found

    vars(layer)["forward"] = forward


def _convolve(layer: nn.Conv1d | nn.Conv2d, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """x (R, B, C, ...), weight (R, C', C, ...), bias (R, C') -> (R, B, C', ...)."""
    flat, runs = x.dim() == 4, len(x)
    shared = x.stride(0) == 0 and layer.groups == 1  # one product of all members' channels
    kernels = weight.flatten(0, 1)
    y = conv2d(
        _images(x[:1] if shared else x),
        (kernels.unsqueeze(2) if flat else kernels).contiguous(memory_format=torch.channels_last),
        None if bias is None else bias.flatten(),
        _pair(layer.stride, 1, flat),
        _pair(layer.padding, 0, flat),
        _pair(layer.dilation, 1, flat),
        layer.groups if shared else layer.groups * runs,
    )
    return _of_members(y.movedim(1, -1).squeeze(1) if flat else y.movedim(1, -1), runs)


def _normalise(layer: nn.GroupNorm, x: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    """x (R, B, C, ...), weight and bias (R, C) -> the shape of x."""
    scale, shift = (None if each is None else each.flatten() for each in (weight, bias))
    y = group_norm(_images(x), layer.num_groups * len(x), scale, shift, layer.eps).movedim(1, -1)
    return _of_members(y.squeeze(1) if x.dim() == 4 else y, len(x))


def _pool(pool: Callable[[Tensor], Tensor], x: Tensor, *_: None) -> Tensor:
    """x (R, B, C, ...) -> (R, B, C, ...)."""
    return _of_members(pool(_channels_last(x)), len(x))


def _pooling(layer: Any) -> Callable[[Tensor], Tensor]:
    """Return the pooling of channels that come last, (B, L, C) or (B, H, W, C)."""
    flat, largest = isinstance(layer, nn.MaxPool1d | nn.AvgPool1d), isinstance(layer, nn.MaxPool1d | nn.MaxPool2d)
    size, padding = _pair(layer.kernel_size, 1, flat), _pair(layer.padding, 0, flat)
    stride = _pair(layer.stride, 1, flat)
    if largest and stride == size and not any(padding) and not layer.ceil_mode and layer.dilation == 1:
        return partial(max_pool, size=size[1:] if flat else size)
    more = {"dilation": _pair(layer.dilation, 1, flat)} if largest else {"count_include_pad": layer.count_include_pad}
    pool = partial(max_pool2d if largest else avg_pool2d, **more)

    def windows(x: Tensor) -> Tensor:
        image = (x.unsqueeze(1) if flat else x).movedim(-1, 1)
        y = pool(image, size, stride, padding, ceil_mode=layer.ceil_mode).movedim(1, -1)
        return y.squeeze(1) if flat else y

    return windows


def _channels_last(x: Tensor) -> Tensor:
    """x (R, B, C, ...) -> (B, ..., R * C)."""
    return x.movedim(2, -1).movedim(0, -2).contiguous().flatten(-2)


def _images(x: Tensor) -> Tensor:
    """x (R, B, C, ...) -> (B, R * C, H, W), channels last in memory; a sequence has the height 1."""
    folded = _channels_last(x)
    return (folded.unsqueeze(1) if x.dim() == 4 else folded).movedim(-1, 1)


def _of_members(y: Tensor, runs: int) -> Tensor:
    """y (B, ..., R * C) -> (R, B, C, ...), a view."""
    return y.view(*y.shape[:-1], runs, -1).movedim(-2, 0).movedim(-1, 2)


def _pair(numbers: Any, above: int, flat: bool) -> Any:
    """Return a layer's numbers of two dimensions, `above` that of the height of a sequence; a name as it is."""
    if isinstance(numbers, str):
        return numbers
    given = (numbers,) if isinstance(numbers, int) else tuple(numbers)
    return (above, *given) if flat else given if len(given) == 2 else given * 2
