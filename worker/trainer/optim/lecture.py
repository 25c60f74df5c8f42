"""Adagrad and RMSprop as Hung-yi Lee's 2021 lecture draws them; torch's divide by other sizes (no eps here either)."""

from typing import Any

import torch
from torch import Tensor

from worker.trainer.optim.base import Params, PerParameterOptimizer


class LectureAdagrad(PerParameterOptimizer):
    """p -= lr * g / sigma, sigma the root of the mean of all squared gradients so far."""

    def __init__(self, params: Params, lr: float = 1e-2) -> None:
        super().__init__(params, {"lr": lr})

    def advance(self, p: Tensor, g: Tensor, state: dict[str, Any], group: dict[str, Any]) -> None:
        """The mean is over the gradients seen, the first included: a constant gradient gives steps of lr for ever."""
        if not state:
            state |= {"seen": 0, "sum": torch.zeros_like(p)}
        state["seen"] += 1
        state["sum"].addcmul_(g, g)
        p.sub_(group["lr"] * divided(g, (state["sum"] / state["seen"]).sqrt()))


class LectureRMSprop(PerParameterOptimizer):
    """p -= lr * g / sigma, sigma a running root mean square that starts at the first gradient's size."""

    def __init__(self, params: Params, lr: float = 1e-2, alpha: float = 0.99) -> None:
        super().__init__(params, {"lr": lr, "alpha": alpha})

    def advance(self, p: Tensor, g: Tensor, state: dict[str, Any], group: dict[str, Any]) -> None:
        """The first step is lr, whatever the gradient."""
        alpha = group["alpha"]
        if not state:
            state["square"] = g.square()
        else:
            state["square"].mul_(alpha).addcmul_(g, g, value=1 - alpha)
        p.sub_(group["lr"] * divided(g, state["square"].sqrt()))


def divided(g: Tensor, size: Tensor) -> Tensor:
    """g / size; 0 where size is, because every gradient was: the lecture's formula says nothing there."""
    return torch.where(size > 0, g / size, torch.zeros_like(g))
