"""The largest curvature at which an optimizer is stable, and its rate for each parameter.

On a quadratic, the update of an optimizer whose preconditioner changes slowly is linear. It diverges along an
eigenvector of P^(1/2) H P^(1/2), P the rates, once the eigenvalue exceeds a constant that depends on the momentum:

    none 2                                        heavy ball (buf = mu buf + g) 2 (1 + mu)
    Nesterov 2 (1 + mu) / (1 + 2 mu)              mean of gradients (Adam's) 2 (1 + b1) / (1 - b1)

Cohen et al. 2021 (arXiv:2103.00065, eq. 1 and appendix B) for the first three, 2022 (arXiv:2207.14484, eq. 2) for the
last. Divided by lr these are the familiar 2/lr and 38/lr. A weight decay adds to the curvature.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.optim import Optimizer

from worker.trainer.probes.measurement import ProbedTraining
from worker.trainer.probes.model_copy import ModelCopy, flat

Group = dict[str, Any]
State = dict[str, Any]


class StabilityLimits(NamedTuple):
    """The limit of a training at its current step."""

    lr: float  # of /optimizer, at this step
    constant: float  # of its momentum: the limit is constant / lr
    shares: Tensor  # (n,) rate over constant of each parameter; sharpness / limit = lambda_max(S^1/2 H S^1/2)
    form: str
    preconditioned: bool

    @property
    def limit(self) -> float:
        """The largest stable sharpness."""
        return self.constant / self.lr if self.lr > 0 else math.inf


class Rule(NamedTuple):
    """The formulas of one class of optimizers."""

    rate: Callable[[Group, State, Tensor], Tensor | float]  # (group, state, gradient) -> step per unit of gradient
    momentum: Callable[[Group], tuple[float, str]]  # its constant, and the formula of the limit
    adaptive: bool = True


def none(_: Group) -> tuple[float, str]:
    """No momentum: each step follows the current gradient alone."""
    return 2.0, "2/lr"


def heavy_ball(group: Group) -> tuple[float, str]:
    """torch's momentum buffer, which sums gradients rather than averaging them, dampening aside."""
    mu, fresh = float(group.get("momentum", 0.0)), 1 - float(group.get("dampening", 0.0))
    if not mu:
        return none(group)
    if group.get("nesterov"):
        return 2 * (1 + mu) / (1 + 2 * mu), "2(1+momentum)/((1+2 momentum) lr)"
    form = "2(1+momentum)/lr" if fresh == 1 else "2(1+momentum)/((1-dampening) lr)"
    return (2 * (1 + mu) / fresh if fresh else math.inf), form


def averaged(group: Group) -> tuple[float, str]:
    """Adam's running mean of gradients."""
    beta = float(group["betas"][0])
    return 2 * (1 + beta) / (1 - beta), "(2+2 beta1)/((1-beta1) lr)"


def averaged_ahead(group: Group) -> tuple[float, str]:
    """NAdam's momentum, once it has reached beta1."""
    beta = float(group["betas"][0])
    return 2 * (1 + beta) / ((1 - beta) * (1 + 2 * beta)), "(2+2 beta1)/((1-beta1)(1+2 beta1) lr)"


def _plain(group: Group, _state: State, _g: Tensor) -> float:
    return float(group["lr"])


def _adam(group: Group, state: State, g: Tensor) -> Tensor:
    """Without a state, use the first update's: its second moment is the squared gradient."""
    v = state.get("max_exp_avg_sq") if group.get("amsgrad") else state.get("exp_avg_sq")
    if v is None:
        return _over(group, g.abs())
    return _over(group, (v / (1 - group["betas"][1] ** float(state["step"]))).sqrt())


def _radam(group: Group, state: State, g: Tensor) -> Tensor | float:
    """Not normalised while the variance of the second moment is intractable (the first updates)."""
    if "exp_avg_sq" not in state:
        return _plain(group, state, g)
    step, beta2 = float(state["step"]), group["betas"][1]
    longest = 2 / (1 - beta2) - 1
    length = longest - 2 * step * beta2**step / (1 - beta2**step)
    if length <= 5:
        return _plain(group, state, g)
    above = (length - 4) * (length - 2) * longest
    return _adam(group, state, g) * math.sqrt(above / ((longest - 4) * (longest - 2) * length))


def _adamax(group: Group, state: State, g: Tensor) -> Tensor:
    size: Tensor = state.get("exp_inf", g.abs() + group["eps"])
    rate: Tensor = group["lr"] / size.clamp(min=group["eps"])
    return rate


def _rmsprop(group: Group, state: State, g: Tensor) -> Tensor:
    if "square_avg" not in state:
        return _over(group, g.abs() * math.sqrt(1 - group["alpha"]))
    v: Tensor = state["square_avg"]
    return _over(group, (v - state["grad_avg"] ** 2 if group["centered"] else v).clamp(min=0).sqrt())


def _adagrad(group: Group, state: State, g: Tensor) -> Tensor:
    t = float(state.get("step", 0.0))
    total: Tensor = state["sum"] if t else g.square() + group["initial_accumulator_value"]
    rate: Tensor = _over(group, total.sqrt()) / (1 + max(0.0, t - 1) * group["lr_decay"])
    return rate


def _adadelta(group: Group, state: State, g: Tensor) -> Tensor:
    rho, eps = group["rho"], group["eps"]
    square = state.get("square_avg", g.square() * (1 - rho))
    moved = state.get("acc_delta", torch.zeros_like(g))
    rate: Tensor = group["lr"] * (moved + eps).sqrt() / (square + eps).sqrt()
    return rate


def _lecture_adagrad(group: Group, state: State, g: Tensor) -> Tensor:
    return _or_zero(group, (state["sum"] / state["seen"]).sqrt() if "sum" in state else g.abs())


def _lecture_rmsprop(group: Group, state: State, g: Tensor) -> Tensor:
    return _or_zero(group, state["square"].sqrt() if "square" in state else g.abs())


def _asgd(group: Group, state: State, _g: Tensor) -> float:
    return float(state["eta"] if "eta" in state else group["lr"])


def _over(group: Group, root: Tensor) -> Tensor:
    rate: Tensor = group["lr"] / (root + group["eps"])
    return rate


def _or_zero(group: Group, size: Tensor) -> Tensor:
    """The lecture's formula has no eps, and leaves parameters alone whose gradients were all 0."""
    rate: Tensor = torch.where(size > 0, group["lr"] / size, torch.zeros_like(size))
    return rate


RULES: dict[str, Rule] = {
    "SGD": Rule(_plain, heavy_ball, adaptive=False),
    "ASGD": Rule(_asgd, none, adaptive=False),
    "Adam": Rule(_adam, averaged),
    "AdamW": Rule(_adam, averaged),
    "SparseAdam": Rule(_adam, averaged),
    "NAdam": Rule(_adam, averaged_ahead),
    "RAdam": Rule(_radam, averaged),
    "Adamax": Rule(_adamax, averaged),
    "RMSprop": Rule(_rmsprop, heavy_ball),
    "Adagrad": Rule(_adagrad, none),
    "Adadelta": Rule(_adadelta, none),
    "LectureAdagrad": Rule(_lecture_adagrad, none),
    "LectureRMSprop": Rule(_lecture_rmsprop, none),
}


def stability_limits(training: ProbedTraining, copy: ModelCopy) -> StabilityLimits | None:
    """Return the limits; None where one of the optimizers has no known limit (signs, matrices, searches, libraries)."""
    rules = [RULES.get(type(optimizer).__name__) for optimizer in training.optimizers]
    if not rules or None in rules:
        return None
    slopes = copy.split(copy.gradient())
    ours = dict(zip(copy.names, slopes, strict=True))
    names = {id(p): name for name, p in training.model.named_parameters()}
    found: dict[str, Tensor] = {}
    for optimizer, rule in zip(training.optimizers, rules, strict=True):
        assert rule is not None
        for group in _groups(training, optimizer):
            constant = rule.momentum(group)[0]
            for p in group["params"]:
                g = ours[names[id(p)]]
                state = {name: _like(value, g) for name, value in optimizer.state.get(p, {}).items()}
                found[names[id(p)]] = torch.zeros_like(g) + rule.rate(group, state, g) / constant
    (first, *_), rule = training.optimizers, rules[0]
    assert rule is not None
    group = _groups(training, first)[0]
    constant, form = rule.momentum(group)
    shares = flat([found[name] for name in copy.names])
    return StabilityLimits(_lr(training), constant, shares, form, any(rule.adaptive for rule in rules if rule))


def _groups(training: ProbedTraining, optimizer: Optimizer) -> list[Group]:
    """Return torch's groups; before the first update, with its learning rates."""
    if training.step:
        return list(optimizer.param_groups)
    owns = [own for own in training.rates.groups if own.optimizer is optimizer]
    return [dict(own.group, lr=training.spec.rate(1, own.lr)) for own in owns]


def _lr(training: ProbedTraining) -> float:
    """Return the rate of /optimizer at the last update, or else at the first."""
    return float(_groups(training, training.optimizers[0])[0]["lr"])


def _like(value: Any, g: Tensor) -> Any:
    return value.to(g) if isinstance(value, Tensor) and value.shape == g.shape else value
