"""The updates of torch's optimizers as formulas over stacked tensors (R, P), with numbers of each member.

A rule names the tensors of an optimizer's state, turns hyperparameters into the numbers of each update, and makes one.
The formulas are those of the optimizers in `service.spec.optimizers`, up to rounding.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from worker.trainer.pack.numbers import Coefficients, Hyperparameters, added, subtract
from worker.trainer.pack.rates import Table

States = Mapping[str, Tensor]  # (R, P) each
Flags = Mapping[str, Any]  # a parameter group, for its switches, which all members share


class Rule(NamedTuple):
    """The update of one optimizer."""

    states: tuple[str, ...]  # of each parameter
    plan: Callable[[Hyperparameters, Flags], dict[str, Table]]
    update: Callable[[Tensor, Tensor, States, Coefficients, Flags], None]  # p, g, ...


def plan_sgd(of: Hyperparameters, flags: Flags) -> dict[str, Table]:
    """Decay, momentum, share of the gradient and rate."""
    return {"decay": of["weight_decay"], "momentum": of.momentum, "share": 1 - of["dampening"], "lr": of.lr}


def sgd(p: Tensor, g: Tensor, states: States, c: Coefficients, flags: Flags) -> None:
    """Sutskever et al. 2013."""
    g = added(g, p, c["decay"])
    if (buffer := states.get("momentum_buffer")) is not None:
        buffer.mul_(c["momentum"])
        subtract(buffer, g, -c["share"])
        g = added(g, buffer, c["momentum"]) if flags["nesterov"] else buffer
    subtract(p, g, c["lr"])


def plan_adam(of: Hyperparameters, flags: Flags) -> dict[str, Table]:
    """Bias corrections are part of the rate and of eps."""
    beta1, beta2 = of.betas
    root = np.sqrt(1 - beta2**of.t)
    decay = of["weight_decay"]
    decay = 1 - of.lr * decay if flags.get("decoupled_weight_decay") else decay
    rate = of.lr * root / (1 - beta1**of.t)
    return {"decay": decay, "first": 1 - beta1, "second": 1 - beta2, "eps": of["eps"] * root, "rate": rate}


def adam(p: Tensor, g: Tensor, states: States, c: Coefficients, flags: Flags) -> None:
    """Kingma & Ba 2015; decoupled decay: Loshchilov & Hutter 2019."""
    g = _decayed(p, g, c, flags)
    first, second = states["exp_avg"], states["exp_avg_sq"]
    first.lerp_(g, c["first"])
    second.lerp_(g * g, c["second"])
    largest = (
        torch.maximum(states["max_exp_avg_sq"], second, out=states["max_exp_avg_sq"]) if flags["amsgrad"] else second
    )
    size = largest.sqrt().add_(c["eps"])
    subtract(p, torch.div(first, size, out=size), c["rate"])


def _decayed(p: Tensor, g: Tensor, c: Coefficients, flags: Flags) -> Tensor:
    """Shrink the weights, or return the gradient with the decay's."""
    if not flags.get("decoupled_weight_decay"):
        return added(g, p, c["decay"])
    if isinstance(c["decay"], Tensor) or c["decay"] != 1:
        p.mul_(c["decay"])
    return g


def plan_adamax(of: Hyperparameters, flags: Flags) -> dict[str, Table]:
    """The rate has the bias correction."""
    beta1, beta2 = of.betas
    rate = of.lr / (1 - beta1**of.t)
    return {"decay": of["weight_decay"], "first": 1 - beta1, "second": beta2, "eps": of["eps"], "rate": rate}


def adamax(p: Tensor, g: Tensor, states: States, c: Coefficients, flags: Flags) -> None:
    """Kingma & Ba 2015, section 7.1."""
    g = added(g, p, c["decay"])
    states["exp_avg"].lerp_(g, c["first"])
    norm = states["exp_inf"].mul_(c["second"])
    torch.maximum(norm, g.abs().add_(c["eps"]), out=norm)
    subtract(p, states["exp_avg"] / norm, c["rate"])


def plan_nadam(of: Hyperparameters, flags: Flags) -> dict[str, Table]:
    """The products of the momenta so far are those of the parameter group's first parameter."""
    beta1, beta2 = of.betas
    speed = of["momentum_decay"]
    mu, after = (beta1 * (1 - 0.5 * 0.96 ** ((of.t + ahead) * speed)) for ahead in (0, 1))
    before = np.array([[float(group["mu_product"]) for group in of.groups]])
    product = before * np.cumprod(mu, 0)
    root = np.sqrt(1 - beta2**of.t)
    decay = of["weight_decay"]
    decay = 1 - of.lr * decay if flags["decoupled_weight_decay"] else decay
    rates = {"of_g": of.lr * root * (1 - mu) / (1 - product), "of_m": of.lr * root * after / (1 - product * after)}
    shares = {"decay": decay, "first": 1 - beta1, "second": 1 - beta2, "eps": of["eps"] * root}
    return shares | rates | {"mu": mu}


def nadam(p: Tensor, g: Tensor, states: States, c: Coefficients, flags: Flags) -> None:
    """Dozat 2016."""
    g = _decayed(p, g, c, flags)
    states["exp_avg"].lerp_(g, c["first"])
    states["exp_avg_sq"].lerp_(g * g, c["second"])
    size = states["exp_avg_sq"].sqrt().add_(c["eps"])
    subtract(p, g / size, c["of_g"])
    subtract(p, states["exp_avg"] / size, c["of_m"])


def plan_radam(of: Hyperparameters, flags: Flags) -> dict[str, Table]:
    """The size of the adaptive part and of the plain part, of which one is 0."""
    beta1, beta2 = of.betas
    bias, most = 1 - beta2**of.t, 2 / (1 - beta2) - 1
    rho = most - 2 * of.t * beta2**of.t / bias
    squared = (rho - 4) * (rho - 2) * most / ((most - 4) * (most - 2) * rho)
    rate, adapts = of.lr / (1 - beta1**of.t), rho > 5
    adaptive = np.where(adapts, rate * np.sqrt(bias * np.where(adapts, squared, 1)), 0)
    decay = of["weight_decay"]
    decay = 1 - of.lr * decay if flags["decoupled_weight_decay"] else decay
    shares = {"decay": decay, "first": 1 - beta1, "second": 1 - beta2, "eps": of["eps"]}
    return shares | {"adaptive": adaptive, "plain": np.where(adapts, 0, rate)}


def radam(p: Tensor, g: Tensor, states: States, c: Coefficients, flags: Flags) -> None:
    """Liu et al. 2020, arXiv:1908.03265, algorithm 2."""
    g = _decayed(p, g, c, flags)
    first = states["exp_avg"].lerp_(g, c["first"])
    size = states["exp_avg_sq"].lerp_(g * g, c["second"]).sqrt().add_(c["eps"])
    subtract(p, first / size, c["adaptive"])
    subtract(p, first, c["plain"])


def plan_rmsprop(of: Hyperparameters, flags: Flags) -> dict[str, Table]:
    """Decay, share of the new square, eps, momentum and rate."""
    shares = {"decay": of["weight_decay"], "second": 1 - of["alpha"], "eps": of["eps"]}
    return shares | {"momentum": of.momentum, "lr": of.lr}


def rmsprop(p: Tensor, g: Tensor, states: States, c: Coefficients, flags: Flags) -> None:
    """Tieleman & Hinton 2012, lecture 6.5."""
    g = added(g, p, c["decay"])
    mean = states["square_avg"].lerp_(g * g, c["second"])
    if flags["centered"]:
        of_g = states["grad_avg"].lerp_(g, c["second"])
        mean = mean.addcmul(of_g, of_g, value=-1)
    update = g / mean.sqrt().add_(c["eps"])
    if (buffer := states.get("momentum_buffer")) is not None:
        update = buffer.mul_(c["momentum"]).add_(update)
    subtract(p, update, c["lr"])


def plan_adagrad(of: Hyperparameters, flags: Flags) -> dict[str, Table]:
    """The rate decays with the updates."""
    return {"decay": of["weight_decay"], "eps": of["eps"], "lr": of.lr / (1 + (of.t - 1) * of["lr_decay"])}


def adagrad(p: Tensor, g: Tensor, states: States, c: Coefficients, flags: Flags) -> None:
    """Duchi et al. 2011."""
    g = added(g, p, c["decay"])
    subtract(p, g / states["sum"].addcmul_(g, g).sqrt().add_(c["eps"]), c["lr"])


def plan_adadelta(of: Hyperparameters, flags: Flags) -> dict[str, Table]:
    """Decay, share of the new square, eps and rate."""
    return {"decay": of["weight_decay"], "second": 1 - of["rho"], "eps": of["eps"], "lr": of.lr}


def adadelta(p: Tensor, g: Tensor, states: States, c: Coefficients, flags: Flags) -> None:
    """Zeiler 2012, arXiv:1212.5701."""
    g = added(g, p, c["decay"])
    size = states["square_avg"].lerp_(g * g, c["second"]).add(c["eps"]).sqrt_()
    update = states["acc_delta"].add(c["eps"]).sqrt_().div_(size).mul_(g)
    states["acc_delta"].lerp_(update * update, c["second"])
    subtract(p, update, c["lr"])


def plan_lecture_adagrad(of: Hyperparameters, flags: Flags) -> dict[str, Table]:
    """The mean of t squares is their sum over t."""
    return {"rate": of.lr * np.sqrt(of.t)}


def lecture_adagrad(p: Tensor, g: Tensor, states: States, c: Coefficients, flags: Flags) -> None:
    """Hung-yi Lee 2021."""
    subtract(p, _safe_divide(g, states["sum"].addcmul_(g, g).sqrt()), c["rate"])


def plan_lecture_rmsprop(of: Hyperparameters, flags: Flags) -> dict[str, Table]:
    """Share of the new square, and rate."""
    return {"second": 1 - of["alpha"], "lr": of.lr}


def lecture_rmsprop(p: Tensor, g: Tensor, states: States, c: Coefficients, flags: Flags) -> None:
    """Hung-yi Lee 2021; the first update, which sets the state, is each member's own."""
    subtract(p, _safe_divide(g, states["square"].lerp_(g * g, c["second"]).sqrt()), c["lr"])


def _safe_divide(g: Tensor, size: Tensor) -> Tensor:
    return torch.where(size > 0, g / size, 0.0)


MOMENTS = ("exp_avg", "exp_avg_sq")
RULES: dict[str, Rule] = {  # by the optimizer's class
    "SGD": Rule(("momentum_buffer",), plan_sgd, sgd),
    "Adam": Rule((*MOMENTS, "max_exp_avg_sq"), plan_adam, adam),
    "AdamW": Rule((*MOMENTS, "max_exp_avg_sq"), plan_adam, adam),
    "Adamax": Rule(("exp_avg", "exp_inf"), plan_adamax, adamax),
    "NAdam": Rule(MOMENTS, plan_nadam, nadam),
    "RAdam": Rule(MOMENTS, plan_radam, radam),
    "RMSprop": Rule(("square_avg", "momentum_buffer", "grad_avg"), plan_rmsprop, rmsprop),
    "Adagrad": Rule(("sum",), plan_adagrad, adagrad),
    "Adadelta": Rule(("square_avg", "acc_delta"), plan_adadelta, adadelta),
    "LectureAdagrad": Rule(("sum",), plan_lecture_adagrad, lecture_adagrad),
    "LectureRMSprop": Rule(("square",), plan_lecture_rmsprop, lecture_rmsprop),
}
