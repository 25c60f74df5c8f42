"""AdaBound: Adam with rates clipped between bounds that converge to one rate (Luo et al. 2019, arXiv:1902.09843)."""

from typing import Any

import torch
from torch import Tensor

from worker.trainer.optim.base import Params, PerParameterOptimizer


class AdaBound(PerParameterOptimizer):
    """Algorithm 2 with the authors' bias corrections and eps."""

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

    def update_parameter(self, p: Tensor, g: Tensor, state: dict[str, Any], group: dict[str, Any]) -> None:
        """Update; weight decay is added to the gradient (L2)."""
        if group["weight_decay"]:
            g = g.add(p, alpha=group["weight_decay"])
        beta1, beta2 = group["betas"]
        mean, square = update_moments(p, g, state, beta1, beta2, group["amsbound"])
        t = state["step"]
        rate = group["lr"] * (1 - beta2**t) ** 0.5 / (1 - beta1**t)
        final = group["final_lr"] * group["lr"] / group["base_lr"] if group["base_lr"] else 0.0
        lower, upper = rate_bounds(t, final, group["gamma"])
        p.sub_((rate / (square.sqrt() + group["eps"])).clamp_(lower, upper).mul_(mean))


def update_moments(
    p: Tensor, g: Tensor, state: dict[str, Any], beta1: float, beta2: float, largest: bool
) -> tuple[Tensor, ...]:
    """Update and return the uncorrected running means of g and g^2; with `largest`, the largest mean of g^2."""
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


def rate_bounds(t: int, final: float, gamma: float) -> tuple[float, float]:
    """Return the bounds of the rate at update t (from 1): near (0, infinity) at first, `final` in the end."""
    return final * (1 - 1 / (gamma * t + 1)), final * (1 + 1 / (gamma * t))
