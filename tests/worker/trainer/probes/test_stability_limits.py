"""Limits of stability: just below one an optimizer settles on a quadratic, just above it leaves."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.optim import Optimizer

from worker.trainer.optim.lecture import LectureAdagrad, LectureRMSprop
from worker.trainer.probes.model_copy import ModelCopy
from worker.trainer.probes.on_demand.sharpness import Sharpness
from worker.trainer.probes.stability_limits import RULES, stability_limits

Made = Callable[[list[Tensor], float], Optimizer]
CURVATURE = 3.0
HUGE = 1e60  # an eps beside which every second moment is nothing: the preconditioner stands still
SETTINGS: dict[str, Made] = {
    "plain": lambda p, lr: torch.optim.SGD(p, lr),
    "heavy ball": lambda p, lr: torch.optim.SGD(p, lr, momentum=0.9),
    "damped": lambda p, lr: torch.optim.SGD(p, lr, momentum=0.8, dampening=0.5),
    "nesterov": lambda p, lr: torch.optim.SGD(p, lr, momentum=0.7, nesterov=True),
    "adam": lambda p, lr: torch.optim.Adam(p, lr * HUGE, betas=(0.9, 0.99), eps=HUGE),
    "adamw": lambda p, lr: torch.optim.AdamW(p, lr * HUGE, betas=(0.5, 0.99), eps=HUGE, weight_decay=0),
    "nadam": lambda p, lr: torch.optim.NAdam(p, lr * HUGE, betas=(0.8, 0.99), eps=HUGE, momentum_decay=1.0),
    "rmsprop": lambda p, lr: torch.optim.RMSprop(p, lr * HUGE, eps=HUGE),
    "rmsprop with momentum": lambda p, lr: torch.optim.RMSprop(p, lr * HUGE, eps=HUGE, momentum=0.9),
    "adagrad": lambda p, lr: torch.optim.Adagrad(p, lr * HUGE, eps=HUGE),
}


def last(make: Made, lr: float, steps: int = 3000) -> float:
    """|x| at the end, from 1, on CURVATURE / 2 x^2."""
    x = torch.ones(1, dtype=torch.float64, requires_grad=True)
    optimizer = make([x], lr)
    for _ in range(steps):
        optimizer.zero_grad()
        (0.5 * CURVATURE * x**2).sum().backward()
        optimizer.step()
        if float(x.detach().abs()) > 1e30:
            break
    return float(x.detach().abs())


def share(make: Made, lr: float) -> float:
    """Sharpness over its limit, as the rules say."""
    x = torch.ones(1, dtype=torch.float64, requires_grad=True)
    optimizer = make([x], lr)
    group, rule = optimizer.param_groups[0], RULES[type(optimizer).__name__]
    return CURVATURE * float(rule.rate(group, {}, torch.zeros_like(x))) / rule.momentum(group)[0]


@pytest.mark.parametrize("make", SETTINGS.values(), ids=SETTINGS.keys())
def test_an_optimizer_settles_below_its_limit_and_leaves_above(make: Made) -> None:
    at_limit = 0.1 / share(make, 0.1)
    assert share(make, at_limit) == pytest.approx(1)
    assert last(make, 0.97 * at_limit) < 0.1
    assert last(make, 1.03 * at_limit) > 1e30


RATES: dict[str, Made] = {
    "adam": lambda p, lr: torch.optim.Adam(p, lr),
    "amsgrad": lambda p, lr: torch.optim.Adam(p, lr, amsgrad=True),
    "rmsprop": lambda p, lr: torch.optim.RMSprop(p, lr, centered=True),
    "adagrad": lambda p, lr: torch.optim.Adagrad(p, lr, lr_decay=0.1),
    "adadelta": lambda p, lr: torch.optim.Adadelta(p, lr),
    "adamax": lambda p, lr: torch.optim.Adamax(p, lr),
    "radam": lambda p, lr: torch.optim.RAdam(p, lr),
    "lecture_adagrad": lambda p, lr: LectureAdagrad(p, lr),
    "lecture_rmsprop": lambda p, lr: LectureRMSprop(p, lr),
}


@pytest.mark.parametrize("kind", RATES)
def test_the_rate_of_each_number_is_what_a_step_along_its_gradient_is(kind: str) -> None:
    """A constant gradient makes the mean of gradients the gradient, so that the step over it is the rate."""
    x = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    optimizer, g = RATES[kind]([x], 0.05), torch.tensor([1e-3, 0.1, 7.0], dtype=torch.float64)
    before, moved = x.detach().clone(), dict[str, Tensor]()
    for _ in range(400):
        before, x.grad = x.detach().clone(), g.clone()
        if kind == "adadelta":  # it moves by the changes before this one, which it then counts
            moved = {"acc_delta": optimizer.state[x]["acc_delta"].clone()} if optimizer.state[x] else {}
        optimizer.step()
    rate = RULES[type(optimizer).__name__].rate(optimizer.param_groups[0], optimizer.state[x] | moved, g)
    assert torch.allclose(torch.as_tensor(rate), (before - x.detach()) / g, rtol=1e-4)


def test_sharpness_of_a_quadratic_is_its_largest_eigenvalue(objective: Any, component: Any) -> None:
    training = objective("quadratic", (1.0, 1.0, 1.0), lr=0.05, eigenvalues=(1.0, 10.0, -3.0))
    look = Sharpness(component(products=40, tolerance=1e-4)).measure(training)
    assert look.values["sharpness"] == pytest.approx(10, rel=1e-6)
    assert look.values["sharpness/limit"] == pytest.approx(2 / 0.05)
    assert look.values["sharpness/ratio"] == pytest.approx(0.25, rel=1e-6)
    assert look.data is not None
    assert look.data["converged"] is True
    assert look.data["form"] == "2/lr"


def test_groups_with_rates_of_their_own_count_as_they_train(trained: Any, component: Any) -> None:
    """Scaling one layer's rate by 4 is the same as scaling its rows of the Hessian by 4."""
    groups = ({"match": {"name": "layers.0.*"}, "lr": 0.4},)
    training = trained(10, groups=groups, optimizer={"kind": "sgd", "lr": 0.1})
    look = Sharpness(component(products=100, tolerance=1e-9)).measure(training)
    copy = ModelCopy(training)
    first = sum(p.numel() for p in copy.parameters[:2])
    scale = torch.cat((torch.full((first,), 0.4), torch.full((copy.n - first,), 0.1))).double()
    matrix = scale.sqrt()[:, None] * copy.hessian() * scale.sqrt()[None]
    assert look.values["sharpness/ratio"] == pytest.approx(float(torch.linalg.eigvalsh(matrix)[-1]) / 2, rel=1e-7)


def test_adam_is_measured_against_its_preconditioned_hessian(trained: Any, component: Any) -> None:
    training = trained(30, optimizer={"kind": "adam", "lr": 0.01})
    look = Sharpness(component(products=100, tolerance=1e-9)).measure(training)
    copy = ModelCopy(training)
    (optimizer,) = training.optimizers
    root = []
    for p in training.model.parameters():
        state = optimizer.state[p]
        root.append((state["exp_avg_sq"].double() / (1 - 0.999**30)).sqrt().flatten() + 1e-8)
    d = torch.cat(root).rsqrt()
    expected = float(torch.linalg.eigvalsh(d[:, None] * copy.hessian() * d[None])[-1])
    assert look.values["sharpness"] == pytest.approx(expected, rel=1e-6)
    assert look.values["sharpness/limit"] == pytest.approx(38 / 0.01)
    assert look.data is not None
    assert look.data["preconditioned"] is True


def test_an_optimizer_whose_limit_nobody_knows_gets_a_sharpness_and_no_ratio(trained: Any, component: Any) -> None:
    training = trained(3, optimizer={"kind": "lbfgs"})
    assert stability_limits(training, ModelCopy(training)) is None
    look = Sharpness(component(products=40, tolerance=1e-4)).measure(training)
    assert set(look.values) == {"sharpness"}
    assert look.data is not None
    assert look.data["limit"] is None


def test_the_same_function_may_be_sharp_or_flat_when_its_layers_are_rescaled(trained: Any, component: Any) -> None:
    """ReLU nets are unchanged when one layer is multiplied and the next divided; their sharpness is not."""
    training = trained(30, model={"kind": "mlp", "hidden": (8,), "bias": False})
    tool = Sharpness(component(products=60, tolerance=1e-6))
    before = tool.measure(training).values["sharpness"]
    value = ModelCopy(training).value()
    with torch.no_grad():
        training.model.layers[0].weight.mul_(10)
        training.model.layers[2].weight.div_(10)
    assert ModelCopy(training).value() == pytest.approx(value, rel=1e-6)
    assert tool.measure(training).values["sharpness"] > 5 * before
