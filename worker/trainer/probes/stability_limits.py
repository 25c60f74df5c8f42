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

from worker.trainer.probes.inline.effective_rates import RATES, Group, State, update_count
from worker.trainer.probes.measurement import ProbedTraining
from worker.trainer.probes.model_copy import ModelCopy, flat


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


def _adaptive(optimizer: str) -> Callable[[Group, State, Tensor], Tensor]:
    """Return the effective rate of an optimizer; without a state, that of its first update."""
    multiple, _, mark = RATES[optimizer]

    def rate(group: Group, state: State, g: Tensor) -> Tensor:
        if mark not in state or not update_count(group, state):
            state = _first_state(group, g)
        found: Tensor = group["lr"] * multiple(group, state, update_count(group, state))
        return found

    return rate


def _first_state(group: Group, g: Tensor) -> State:
    """Return the state after a first update with gradient `g`, by the names of all adaptive optimizers."""
    decay = (
        group["betas"][1] if "betas" in group else next((group[each] for each in ("alpha", "rho") if each in group), 0)
    )
    square, mean, zero = g.square(), g.square() * (1 - decay), torch.zeros_like(g)
    total = square + group.get("initial_accumulator_value", 0.0)
    return {
        **{"step": 1.0, "exp_inf": g.abs() + group.get("eps", 0.0), "sum": total, "square": square},
        **{"exp_avg_sq": mean, "max_exp_avg_sq": mean, "square_avg": mean, "grad_avg": zero, "acc_delta": zero},
    }


def _asgd(group: Group, state: State, _g: Tensor) -> float:
    return float(state["eta"] if "eta" in state else group["lr"])


RULES: dict[str, Rule] = {
    "SGD": Rule(_plain, heavy_ball, adaptive=False),
    "ASGD": Rule(_asgd, none, adaptive=False),
    "NAdam": Rule(_adaptive("NAdam"), averaged_ahead),
    "RMSprop": Rule(_adaptive("RMSprop"), heavy_ball),
    **{name: Rule(_adaptive(name), averaged) for name in ("Adam", "AdamW", "SparseAdam", "RAdam", "Adamax")},
    **{name: Rule(_adaptive(name), none) for name in ("Adagrad", "Adadelta", "LectureAdagrad", "LectureRMSprop")},
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
    return StabilityLimits(float(group["lr"]), constant, shares, form, any(rule.adaptive for rule in rules if rule))


def _groups(training: ProbedTraining, optimizer: Optimizer) -> list[Group]:
    """Return torch's groups; before the first update, with its learning rates."""
    if training.step:
        return list(optimizer.param_groups)
    owns = [own for own in training.rates.groups if own.optimizer is optimizer]
    return [dict(own.group, lr=training.spec.rate(1, own.lr)) for own in owns]


def _like(value: Any, g: Tensor) -> Any:
    return value.to(g) if isinstance(value, Tensor) and value.shape == g.shape else value
