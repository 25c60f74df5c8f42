"""Norms of a model's tensors, in total and by layer: the module that owns a parameter is its layer."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from worker.trainer.metrics import Metrics

MAX_LAYERS = 48  # with a series of their own; of a deeper model evenly spread, the first and the last included
ROOT = "model"  # the layer of parameters that the model owns directly
MAX_FLAT = 2**20  # numbers worth copying into one tensor, which saves calls


class Layers:
    """The trainable parameters in the order of their layers."""

    def __init__(self, model: nn.Module) -> None:
        self.parameters: list[nn.Parameter] = []
        spans: list[tuple[str, int, int]] = []
        seen: set[nn.Parameter] = set()
        for path, module in model.named_modules():
            own = [p for p in module.parameters(recurse=False) if p.requires_grad and p not in seen]
            if own:
                seen.update(own)
                spans.append((path or ROOT, len(self.parameters), len(self.parameters) + len(own)))
                self.parameters += own
        self.spans = [spans[at] for at in spread_evenly(len(spans))]
        self.sizes = [p.numel() for p in self.parameters]
        self._gradient: list[Tensor] = []

    def gradient(self) -> list[Tensor]:
        """Return the current step's gradient as first asked for, flat; 0 where a parameter has none."""
        if not self._gradient:
            grads = [dense(p.grad) if p.grad is not None else torch.zeros_like(p) for p in self.parameters]
            self._gradient = copied(grads)
        return self._gradient

    def forget(self) -> None:
        """Drop the gradient: the step is over."""
        self._gradient = []

    def weights(self) -> list[Tensor]:
        """Return a flat copy of the parameters."""
        return copied(self.parameters)

    def norms(self, flat: Sequence[Tensor]) -> tuple[float | Tensor, Metrics]:
        """Return norms of a flat vector as large as the parameters: in total, and by layer."""
        pieces = torch.split(flat[0], self.sizes) if len(flat) < len(self.sizes) else flat
        return self.by_layer(torch.stack(torch._foreach_norm(list(pieces))).double().square())

    def by_layer(self, squares: Tensor) -> tuple[float | Tensor, Metrics]:
        """Return the total norm, and each layer's, from the squared norm of each parameter (n,)."""
        if squares.device.type == "cpu":
            values: list[float] = squares.tolist()
            layers = {name: math.sqrt(sum(values[a:b])) for name, a, b in self.spans}
            return math.sqrt(sum(values)), dict(layers)
        return squares.sum().sqrt(), {name: squares[a:b].sum().sqrt() for name, a, b in self.spans}


def spread_evenly(n: int) -> list[int]:
    """Return at most `MAX_LAYERS` of n positions, evenly spread from the first to the last."""
    if n <= MAX_LAYERS:
        return list(range(n))
    return sorted({round(at * (n - 1) / (MAX_LAYERS - 1)) for at in range(MAX_LAYERS)})


def dense(tensor: Tensor) -> Tensor:
    """Return a sparse gradient as a dense one."""
    return tensor.to_dense() if tensor.is_sparse else tensor


def copied(tensors: Sequence[Tensor]) -> list[Tensor]:
    """Like `flats`, in memory of its own."""
    flat = flats(tensors)
    return flat if len(flat) < len(tensors) else [each.clone() for each in flat]


def flats(tensors: Sequence[Tensor]) -> list[Tensor]:
    """Return the same numbers in as few tensors (n,) as is cheap."""
    flat = [tensor.detach().reshape(-1) for tensor in tensors]
    return [torch.cat(flat)] if len(flat) > 1 and sum(each.numel() for each in flat) <= MAX_FLAT else flat
