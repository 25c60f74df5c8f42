"""Adafactor without waiting for a GPU: torch's reads two norms of every parameter from the device at each update."""

import inspect
import math
from typing import Any

import torch
from torch import Tensor
from torch.optim import Adafactor as TorchAdafactor

PLAIN_STEP = inspect.unwrap(TorchAdafactor.step)  # without the wrapper that runs hooks: ours runs them


class Adafactor(TorchAdafactor):
    """torch's Adafactor on the CPU; elsewhere the same update, whose norms stay on the device."""

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """Update every parameter that has a gradient."""
        if self.param_groups[0]["params"][0].device.type == "cpu":
            return PLAIN_STEP(self, closure)
        return self.update_on_device()

    def update_on_device(self) -> None:
        """Update every parameter without reading from its device."""
        for group in self.param_groups:
            parts: tuple[list[Any], ...] = ([], [], [], [], [], [])
            self._init_group(group, *parts)
            for p, g, row, column, variance, steps in zip(*parts, strict=True):
                steps += 1  # on the host
                update(p, g, (row, column, variance), steps.item(), group)


def update(p: Tensor, g: Tensor, moments: tuple[Tensor | None, ...], t: float, group: dict[str, Any]) -> None:
    """Change `p` in place at its update t (from 1), as torch does; moments of rows and columns, or of a vector."""
    (eps, least), lr, fresh = group["eps"], group["lr"], t ** group["beta2_decay"]
    eps = torch.finfo(p.dtype).eps if eps is None else eps
    rate = root_mean_square(p).clamp(min=least) * min(lr, t**-0.5)
    if group["weight_decay"]:
        p.mul_(1 - lr * group["weight_decay"])
    row, column, variance = moments
    if variance is None:
        assert row is not None
        assert column is not None
        row.lerp_(g.square().mean(-1, keepdim=True), fresh)
        column.lerp_(g.square().mean(-2, keepdim=True), fresh)
        estimate = (row @ column).div_(row.mean(-2, keepdim=True).clamp_(min=eps))
    else:
        variance.lerp_(g.square(), fresh)
        estimate = variance.clone()
    change = estimate.clamp_(min=eps * eps).rsqrt_().mul_(g)
    p.sub_(change.mul_(rate / (root_mean_square(change) / group["d"]).clamp(min=1)))


def root_mean_square(values: Tensor) -> Tensor:
    """Return it on the values' device."""
    norm: Tensor = torch.linalg.vector_norm(values)
    return norm / math.sqrt(values.numel())
