"""Norms of a model's tensors, in all and by layer: the module that owns a parameter is its layer."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from worker.trainer.metrics import Metrics

MOST = 48  # layers with a series of their own: of a deeper model evenly chosen ones, the first and the last among them
ROOT = "model"  # the layer of parameters that the model itself owns
FLAT = 2**20  # numbers that are worth being copied into one tensor, which saves calls


class Layers:
    """The trained parameters in the order of their layers."""

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
        self.spans = [spans[at] for at in chosen(len(spans))]
        self.sizes = [p.numel() for p in self.parameters]
        self._gradient: list[Tensor] = []

    def gradient(self) -> list[Tensor]:
        """Of the step under way as it was first asked for, flat; 0 where a parameter has none."""
        if not self._gradient:
            grads = [dense(p.grad) if p.grad is not None else torch.zeros_like(p) for p in self.parameters]
            self._gradient = copied(grads)
        return self._gradient

    def forget(self) -> None:
        """The step is over."""
        self._gradient = []

    def weights(self) -> list[Tensor]:
        """A copy of the parameters, flat."""
        return copied(self.parameters)

    def norms(self, flat: Sequence[Tensor]) -> tuple[float | Tensor, Metrics]:
        """Of something as large as the parameters: in all, and by layer."""
        pieces = torch.split(flat[0], self.sizes) if len(flat) < len(self.sizes) else flat
        return self.by_layer(torch.stack(torch._foreach_norm(list(pieces))).double().square())

    def by_layer(self, squares: Tensor) -> tuple[float | Tensor, Metrics]:
        """From the squared norm of each parameter (n,): the norm of all, and of each layer."""
        if squares.device.type == "cpu":
            values: list[float] = squares.tolist()
            layers = {name: math.sqrt(sum(values[a:b])) for name, a, b in self.spans}
            return math.sqrt(sum(values)), dict(layers)
        return squares.sum().sqrt(), {name: squares[a:b].sum().sqrt() for name, a, b in self.spans}


def chosen(n: int) -> list[int]:
    """At most `MOST` of n positions, evenly spread from the first to the last."""
    if n <= MOST:
        return list(range(n))
    return sorted({round(at * (n - 1) / (MOST - 1)) for at in range(MOST)})


def dense(tensor: Tensor) -> Tensor:
    """A sparse gradient as the dense one that it stands for."""
    return tensor.to_dense() if tensor.is_sparse else tensor


def copied(tensors: Sequence[Tensor]) -> list[Tensor]:
    """As `flats`, in memory of their own."""
    flat = flats(tensors)
    return flat if len(flat) < len(tensors) else [each.clone() for each in flat]


def flats(tensors: Sequence[Tensor]) -> list[Tensor]:
    """The same numbers in as few tensors (n,) as is cheap."""
    flat = [tensor.detach().reshape(-1) for tensor in tensors]
    return [torch.cat(flat)] if len(flat) > 1 and sum(each.numel() for each in flat) <= FLAT else flat
