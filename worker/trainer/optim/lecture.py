"""Adagrad and RMSprop as in Hung-yi Lee's 2021 lecture, which divide by other sizes than torch's, without eps."""

from typing import Any

import torch
from torch import Tensor

from worker.trainer.optim.base import Params, PerParameterOptimizer


class LectureAdagrad(PerParameterOptimizer):
    """p -= lr * g / sigma, sigma the root of the mean of all squared gradients so far."""

    def __init__(self, params: Params, lr: float = 1e-2) -> None:
        super().__init__(params, {"lr": lr})

    def update_parameter(self, p: Tensor, g: Tensor, state: dict[str, Any], group: dict[str, Any]) -> None:
        """Update; the mean includes the first gradient, so a constant gradient gives steps of lr."""
        if not state:
            state |= {"seen": 0, "sum": torch.zeros_like(p)}
        state["seen"] += 1
        state["sum"].addcmul_(g, g)
        p.sub_(group["lr"] * safe_divide(g, (state["sum"] / state["seen"]).sqrt()))


class LectureRMSprop(PerParameterOptimizer):
    """p -= lr * g / sigma, sigma a running root mean square that starts at the first gradient's size."""

    def __init__(self, params: Params, lr: float = 1e-2, alpha: float = 0.99) -> None:
        super().__init__(params, {"lr": lr, "alpha": alpha})

    def update_parameter(self, p: Tensor, g: Tensor, state: dict[str, Any], group: dict[str, Any]) -> None:
        """Update; the first step is lr, whatever the gradient."""
        alpha = group["alpha"]
        if not state:
            state["square"] = g.square()
        else:
            state["square"].mul_(alpha).addcmul_(g, g, value=1 - alpha)
        p.sub_(group["lr"] * safe_divide(g, state["square"].sqrt()))


def safe_divide(g: Tensor, size: Tensor) -> Tensor:
    """Return g / size; 0 where size is 0, because every gradient was: the lecture's formula is undefined there."""
    return torch.where(size > 0, g / size, torch.zeros_like(g))
