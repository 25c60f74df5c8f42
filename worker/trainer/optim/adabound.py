"""AdaBound: Adam with rates clipped between bounds that close in on one rate (Luo et al. 2019, arXiv:1902.09843)."""

from typing import Any

import torch
from torch import Tensor

from worker.trainer.optim.base import Params, PerParameterOptimizer


class AdaBound(PerParameterOptimizer):
    """Algorithm 2 with the authors' bias corrections and eps; the bounds are lower and upper of `bounds`."""

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        final_lr: float = 0.1,
        gamma: float = 1e-3,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        amsbound: bool = False,
    ) -> None:
        fields = {"lr": lr, "betas": betas, "final_lr": final_lr, "gamma": gamma, "eps": eps}
        super().__init__(params, fields | {"weight_decay": weight_decay, "amsbound": amsbound})
        for group in self.param_groups:
            group["base_lr"] = group["lr"]  # a schedule changes lr; final_lr follows in proportion

    def advance(self, p: Tensor, g: Tensor, state: dict[str, Any], group: dict[str, Any]) -> None:
        """Weight decay enters the gradient (L2)."""
        if group["weight_decay"]:
            g = g.add(p, alpha=group["weight_decay"])
        beta1, beta2 = group["betas"]
        mean, square = moments(p, g, state, beta1, beta2, group["amsbound"])
        t = state["step"]
        rate = group["lr"] * (1 - beta2**t) ** 0.5 / (1 - beta1**t)
        final = group["final_lr"] * group["lr"] / group["base_lr"]
        lower, upper = bounds(t, final, group["gamma"])
        p.sub_((rate / (square.sqrt() + group["eps"])).clamp_(lower, upper).mul_(mean))


def moments(
    p: Tensor, g: Tensor, state: dict[str, Any], beta1: float, beta2: float, largest: bool
) -> tuple[Tensor, ...]:
    """The running means of g and g^2, not corrected; with `largest` the largest mean of g^2 so far."""
    if not state:
        state |= {"step": 0, "mean": torch.zeros_like(p), "square": torch.zeros_like(p)}
        if largest:
            state["largest"] = torch.zeros_like(p)
    state["step"] += 1
    state["mean"].lerp_(g, 1 - beta1)
    state["square"].mul_(beta2).addcmul_(g, g, value=1 - beta2)
    if largest:
        torch.maximum(state["largest"], state["square"], out=state["largest"])
    return state["mean"], state["largest" if largest else "square"]


def bounds(t: int, final: float, gamma: float) -> tuple[float, float]:
    """The least and the largest rate at update t, which counts from 1: (0, infinity) at first, `final` in the end."""
    return final * (1 - 1 / (gamma * t + 1)), final * (1 + 1 / (gamma * t))
