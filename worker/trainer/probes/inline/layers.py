"""Norms of a model's tensors, in total and by layer: the module that owns a parameter is its layer."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch._C._nn import flatten_dense_tensors

from worker.trainer.metrics import Metrics

MAX_LAYERS = 48  # with a series of their own; of a deeper model evenly spread, the first and the last included
ROOT = "model"  # the layer of parameters that the model owns directly
MAX_FLAT = 2**20  # numbers worth copying into one tensor, which saves calls
MAX_STACKED = 2**14  # the same of a tensor of several runs, on average


class Layers:
    """The trainable parameters in the order of their layers."""

    lead = 0  # dimensions of a tensor before its own: 1 where tensors of several runs are stacked

    def __init__(self, model: nn.Module) -> None:
        self.parameters: list[Tensor] = []
        spans: list[tuple[str, int, int]] = []
        seen: set[Tensor] = set()
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
        """Return the current step's gradient as first asked for, flat."""
        if not self._gradient:
            self._gradient = self.copied(self.gradients())
        return self._gradient

    def gradients(self) -> list[Tensor]:
        """Return the gradient of each parameter; 0 where it has none."""
        return [dense(p.grad) if p.grad is not None else torch.zeros_like(p) for p in self.parameters]

    def forget(self) -> None:
        """Drop the gradient: the step is over."""
        self._gradient = []

    def weights(self) -> list[Tensor]:
        """Return a flat copy of the parameters."""
        return self.copied(self.parameters)

    def flats(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """Return the same numbers in as few tensors (n,) as is cheap."""
        most = MAX_STACKED * len(tensors) if self.lead else MAX_FLAT
        small = len(tensors) > 1 and sum(each.numel() for each in tensors) <= most
        if small and not self.lead:  # one call instead of two for each tensor
            return [flatten_dense_tensors(list(tensors)).detach()]
        flat = [tensor.detach().reshape(*tensor.shape[: self.lead], -1) for tensor in tensors]
        return [torch.cat(flat, -1)] if small else flat

    def copied(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """Like `flats`, in memory of its own."""
        flat = self.flats(tensors)
        return flat if len(flat) < len(tensors) else [each.clone() for each in flat]

    def pieces(self, flat: Sequence[Tensor]) -> Sequence[Tensor]:
        """Return the piece of each parameter of what `flats` returned."""
        return torch.split(flat[0], self.sizes, -1) if len(flat) < len(self.sizes) else flat

    def norms(self, *flats: Sequence[Tensor]) -> list[tuple[float | Tensor, Metrics]]:
        """Return norms of flat vectors as large as the parameters: of each in total, and by layer."""
        pieces = [piece for flat in flats for piece in self.pieces(flat)]
        found = torch.stack(self.piece_norms(pieces))
        on_cpu = found.device.type == "cpu" and found.dim() == 1
        norms: Sequence[float] | Tensor = found.tolist() if on_cpu else found.double()
        return [self.by_layer(norms[at : at + len(self.sizes)]) for at in range(0, len(pieces), len(self.sizes))]

    def piece_norms(self, pieces: list[Tensor]) -> list[Tensor]:
        """Return the norm of each piece."""
        return list(torch._foreach_norm(pieces))

    def by_layer(self, norms: Sequence[float] | Tensor) -> tuple[float | Tensor, Metrics]:
        """Return the total norm, and each layer's, from the norm of each parameter (n, ...)."""
        if not isinstance(norms, Tensor):
            values = [norm * norm for norm in norms]
            layers = {name: math.sqrt(sum(values[a:b])) for name, a, b in self.spans}
            return math.sqrt(sum(values)), dict(layers)
        squares = norms.square()
        return squares.sum(0).sqrt(), {name: squares[a:b].sum(0).sqrt() for name, a, b in self.spans}


def spread_evenly(n: int) -> list[int]:
    """Return at most `MAX_LAYERS` of n positions, evenly spread from the first to the last."""
    if n <= MAX_LAYERS:
        return list(range(n))
    return sorted({round(at * (n - 1) / (MAX_LAYERS - 1)) for at in range(MAX_LAYERS)})


def dense(tensor: Tensor) -> Tensor:
    """Return a sparse gradient as a dense one."""
    return tensor.to_dense() if tensor.is_sparse else tensor


def compare(by: Callable[[Any, Any], Any], x: Tensor, other: float | Tensor) -> Tensor:
    """Return `by(x, other)`; on a CPU numpy takes a sixth of the time that torch takes."""
    if not is_numpy(x):
        return torch.as_tensor(by(x, other))
    return torch.from_numpy(by(x.detach().numpy(), other.numpy() if isinstance(other, Tensor) else other))


def is_numpy(x: Tensor) -> bool:
    """Whether numpy computes with these numbers too."""
    return x.device.type == "cpu" and x.dtype in (torch.float32, torch.float64)


def count_true(mask: Tensor) -> Tensor:
    """Return how many entries (..., n) are true."""
    if mask.dim() == 1:
        return torch.count_nonzero(mask)  # in half the time
    return mask.view(torch.uint8).sum(-1, dtype=torch.int32)
