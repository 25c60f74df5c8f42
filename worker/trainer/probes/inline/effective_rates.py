"""The effective learning rate of each parameter: lr over what the optimizer divides its gradient by.

Read after the update, so v contains this step's gradient. The bias correction of the first moment is left out: it
belongs to the mean of gradients. The formulas:

    Adam, AdamW, NAdam, SparseAdam   lr / (sqrt(v / (1 - b2^t)) + eps); with AMSGrad v is the largest so far
    RAdam        lr r_t sqrt(1 - b2^t) / (sqrt(v) + eps) once it adapts, before that lr
    Adamax       lr / u, u the decayed largest |g| + eps
    RMSprop      lr / (sqrt(v) + eps); centered: v less the squared mean
    Adagrad      lr / (1 + (t - 1) lr_decay) / (sqrt(sum) + eps)
    Adadelta     lr sqrt(d + eps) / sqrt(v + eps), d of the updates so far
    AdaBound     its clipped rate; lecture_adagrad, lecture_rmsprop: lr / sigma, 0 where sigma is
    ScheduleFree AdamW   as Adam

SGD and its variants have one rate; Adafactor, Rprop and optimizers of other packages have no such rate here.
"""

import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import reduce
from typing import Any

import numpy as np
import torch
from torch import Tensor

from worker.trainer.metrics import Metrics
from worker.trainer.optim.adabound import rate_bounds
from worker.trainer.probes.inline.base import OptimizerState, ProbedStep, StepProbe
from worker.trainer.probes.inline.layers import Layers, compare, count_true, is_numpy

SAMPLE = 1024  # evenly spread parameters whose rates are sorted; minimum, maximum and unused are over all
QUANTILES = {"rate/q01": 0.01, "rate/q25": 0.25, "rate/q50": 0.5, "rate/q75": 0.75, "rate/q99": 0.99}
Group = Mapping[str, Any]
State = Mapping[str, Any]  # of one parameter
Moments = Mapping[str, Tensor]  # of several, flat
Count = float | Tensor
Number = float | Tensor  # a tensor (R, 1) where the runs of a pack differ in it
Rate = Callable[[Group, Moments, Count], Tensor]  # as a multiple of the group's lr


def number(value: Any) -> Number:
    """Return a number of a group; a tensor of one number, as some optimizers keep it, as a float."""
    return value if isinstance(value, Tensor) and value.dim() else float(value)


def of_type(value: Number, like: Tensor) -> Number:
    """Return a number for a product with `like`, which keeps its type."""
    return value.to(like) if isinstance(value, Tensor) else value


def eps_of(group: Group) -> Number:
    """Return the term that keeps a division from 0."""
    return number(group["eps"])


def beta2_of(group: Group) -> Number:
    """Return the decay of the second moment."""
    return number(group["betas"][1])


def adam(group: Group, state: Moments, t: Count) -> Tensor:
    """1 / torch's denominator."""
    v = state["max_exp_avg_sq"] if group.get("amsgrad") else state["exp_avg_sq"]
    return ((v / (1 - beta2_of(group) ** t)).sqrt() + eps_of(group)).reciprocal()


def radam(group: Group, state: Moments, t: Count) -> Tensor:
    """Liu et al. 2020, arXiv:1908.03265, algorithm 2; it adapts once its variance is tractable."""
    beta = beta2_of(group)
    bias, most = 1 - beta**t, 2 / (1 - beta) - 1
    rho = torch.as_tensor(most - 2 * t * beta**t / bias, dtype=torch.float64)
    squared = (rho - 4) * (rho - 2) * most / ((most - 4) * (most - 2) * rho)
    adapts = (rho > 5).double()
    factor = adapts * (squared.clamp(min=0) * bias).sqrt()
    return factor / (state["exp_avg_sq"].sqrt() + eps_of(group)) + (1 - adapts)


def radam_schedule_free(group: Group, state: Moments, t: Count) -> Tensor:
    """Adam's once rho > 4, before it 1; the group's scheduled rate holds the rectification."""
    beta = beta2_of(group)
    rho = torch.as_tensor(2 / (1 - beta) - 1 - 2 * t * beta**t / (1 - beta**t))
    return torch.where(rho > 4, adam(group, state, t), 1.0)


def adamax(group: Group, state: Moments, t: Count) -> Tensor:
    """1 / the norm, which contains eps."""
    return 1 / state["exp_inf"]


def rmsprop(group: Group, state: Moments, t: Count) -> Tensor:
    """1 / the root, without bias correction."""
    v = state["square_avg"]
    if group["centered"]:
        v = (v - state["grad_avg"].square()).clamp(min=0)
    return 1 / (v.sqrt() + eps_of(group))


def adagrad(group: Group, state: Moments, t: Count) -> Tensor:
    """1 / the root of the sum, with decayed lr."""
    return 1 / (1 + (t - 1) * number(group["lr_decay"])) / (state["sum"].sqrt() + eps_of(group))


def adadelta(group: Group, state: Moments, t: Count) -> Tensor:
    """Return the ratio of the running means of updates and gradients."""
    return ((state["acc_delta"] + eps_of(group)) / (state["square_avg"] + eps_of(group))).sqrt()


def adabound(group: Group, state: Moments, t: Count) -> Tensor:
    """Return the rate as worker.trainer.optim.adabound clips it."""
    beta1, beta2 = float(group["betas"][0]), beta2_of(group)
    rate: Count = (1 - beta2**t) ** 0.5 / (1 - beta1**t)
    lower, upper = rate_bounds(int(t), group["final_lr"] / group["base_lr"], group["gamma"])
    v = state["largest" if group["amsbound"] else "square"]
    return (rate / (v.sqrt() + eps_of(group))).clamp(lower, upper)


def lecture_adagrad(group: Group, state: Moments, t: Count) -> Tensor:
    """1 / the root of the mean square."""
    return _over((state["sum"] / t).sqrt())


def lecture_rmsprop(group: Group, state: Moments, t: Count) -> Tensor:
    """1 / the running root mean square."""
    return _over(state["square"].sqrt())


def _over(sigma: Tensor) -> Tensor:
    return torch.where(sigma > 0, 1 / sigma, 0.0)


# by the optimizer's class: the rate, the tensors of a parameter's state that it needs, and the one that is 0 if unused
RATES: dict[str, tuple[Rate, tuple[str, ...], str]] = {
    "Adam": (adam, ("exp_avg_sq", "max_exp_avg_sq"), "exp_avg_sq"),
    "AdamW": (adam, ("exp_avg_sq", "max_exp_avg_sq"), "exp_avg_sq"),
    "NAdam": (adam, ("exp_avg_sq",), "exp_avg_sq"),
    "SparseAdam": (adam, ("exp_avg_sq",), "exp_avg_sq"),
    "AdamWScheduleFree": (adam, ("exp_avg_sq",), "exp_avg_sq"),
    "RAdamScheduleFree": (radam_schedule_free, ("exp_avg_sq",), "exp_avg_sq"),
    "RAdam": (radam, ("exp_avg_sq",), "exp_avg_sq"),
    "Adamax": (adamax, ("exp_inf",), "exp_inf"),
    "RMSprop": (rmsprop, ("square_avg", "grad_avg"), "square_avg"),
    "Adagrad": (adagrad, ("sum",), "sum"),
    "Adadelta": (adadelta, ("square_avg", "acc_delta"), "square_avg"),
    "AdaBound": (adabound, ("square", "largest"), "square"),
    "LectureAdagrad": (lecture_adagrad, ("sum",), "sum"),
    "LectureRMSprop": (lecture_rmsprop, ("square",), "square"),
}


class EffectiveRates(StepProbe):
    """rate/q00 ... rate/q100 and rate/unused, over all parameters of all optimizers that have such a rate."""

    def after_update(self, training: ProbedStep, step: int) -> Metrics:
        """Read the optimizers' state after the update."""
        parts = [part for optimizer in training.optimizers for part in rates_of(optimizer, self.layers)]
        if not parts:
            return {}
        whole = sum(rate.shape[-1] for rate, _ in parts)
        every = -(-whole // SAMPLE)
        sampled = [rate[..., ::every] for rate, _ in parts]
        sample = torch.cat(sampled, -1) if len(parts) > 1 else sampled[0]
        found: Metrics = {"rate/q00": reduce(torch.minimum, [rate.amin(-1) for rate, _ in parts])}
        last = sample.shape[-1] - 1
        found |= zip(QUANTILES, ordered(sample, [round(q * last) for q in QUANTILES.values()]), strict=True)
        found["rate/q100"] = reduce(torch.maximum, [rate.amax(-1) for rate, _ in parts])
        found["rate/unused"] = reduce(torch.add, [unused for _, unused in parts]) / whole
        return found


def ordered(sample: Tensor, places: Sequence[int]) -> Sequence[float | Tensor]:
    """Return the numbers that lie at these places of the sorted sample (..., n)."""
    if is_numpy(sample) and sample.dim() == 1:
        chosen = list(places)  # partitioning takes half as long as sorting
        values: list[float] = np.partition(sample.numpy(), chosen)[chosen].tolist()
        return values
    # of many samples numpy sorts in a tenth of torch's time, a third of what partitioning takes
    found = torch.from_numpy(np.sort(sample.numpy())) if is_numpy(sample) else sample.sort(-1).values
    return [found[..., at] for at in places]


def rates_of(optimizer: OptimizerState, layers: Layers) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield rates (n,) and the count of those without a gradient so far, in as few parts as is cheap."""
    known = RATES.get(getattr(optimizer, "class_name", type(optimizer).__name__))
    if known is None:
        return
    rate, names, mark = known
    for group in optimizer.param_groups:
        lr: Number = group.get("scheduled_lr", group["lr"])  # a schedule-free warmup is inside the optimizer
        floor: Number = group["eps"] if mark == "exp_inf" else group.get("initial_accumulator_value", 0.0)
        states = [optimizer.state.get(p, {}) for p in group["params"]]
        for t, state in joined(group, [each for each in states if mark in each], names, layers):
            unused = compare(operator.le, state[mark], of_type(floor, state[mark]))
            found = rate(group, state, t)
            yield of_type(lr, found) * found, count_true(unused)


def joined(
    group: Group, states: list[State], names: tuple[str, ...], layers: Layers
) -> Iterator[tuple[Count, Moments]]:
    """Yield states with flat tensors; small ones with the same update count are joined."""
    by_count: dict[Any, tuple[Count, list[State]]] = {}
    for state in states:
        t = update_count(group, state)
        by_count.setdefault(None if isinstance(t, Tensor) else t, (t, []))[1].append(state)
    for t, some in by_count.values():
        there = [name for name in names if isinstance(some[0].get(name), Tensor)]
        flat = {name: layers.flats([state[name] for state in some]) for name in there}
        for at in range(len(flat[there[0]])):
            yield t, {name: parts[at] for name, parts in flat.items()}


def update_count(group: Group, state: State) -> Count:
    """Return a parameter's update count; a count on a GPU is not read, and all are taken as equal."""
    found: Any = state.get("step", state.get("seen", group.get("k", 1)))
    if not isinstance(found, Tensor):
        return float(found)
    return float(found) if found.device.type == "cpu" and not found.dim() else found.double()
