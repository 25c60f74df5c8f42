"""Analytic objectives: known values, gradients, Hessians and minima; what of them is recorded."""

import math
from typing import Any

import pytest
import torch
from pydantic import TypeAdapter

from service.spec.experiment import Experiment
from service.spec.models import Model
from worker.trainer.build import build
from worker.trainer.loop import Step, prepare, train

# kind and fields, a point, the value there, the gradient there: worked out by hand
KNOWN: list[tuple[dict[str, Any], tuple[float, ...], float, tuple[float, ...]]] = [
    ({"kind": "quadratic", "eigenvalues": (10.0, -2.0)}, (1.0, 2.0), 5 - 4, (10, -4)),
    ({"kind": "rosenbrock"}, (-1.2, 1.0), 24.2, (-215.6, -88.0)),
    ({"kind": "rosenbrock"}, (1.0, 1.0), 0, (0, 0)),
    ({"kind": "rosenbrock", "start": (0.0, 0.0, 0.0)}, (1.0, 1.0, 1.0), 0, (0, 0, 0)),
    ({"kind": "rosenbrock", "start": (0.0, 0.0, 0.0), "b": 1.0}, (0.0, 1.0, 2.0), 1 + 1 + 1 + 0, (-2, 2 - 4, 2)),
    ({"kind": "beale"}, (3.0, 0.5), 0, (0, 0)),
    ({"kind": "beale"}, (0.0, 0.0), 1.5**2 + 2.25**2 + 2.625**2, (-12.75, 0)),
    ({"kind": "double_well"}, (1.0,), 0, (0,)),
    ({"kind": "double_well"}, (0.0,), 1, (0,)),
    ({"kind": "double_well", "barrier": 2.0, "tilt": 0.5}, (2.0,), 2 * 9 + 1, (2 * 4 * 2 * 3 + 0.5,)),
    ({"kind": "monkey_saddle"}, (1.0, 2.0), 1 - 12, (3 - 12, -12)),
    ({"kind": "toy_linear_net"}, (2.0, 3.0), 25, (30, 20)),
    ({"kind": "toy_linear_net"}, (0.0, 0.0), 1, (0, 0)),
    ({"kind": "toy_linear_net", "goal": 6.0, "start": (1.0, 2.0, 3.0)}, (1.0, 2.0, 3.0), 0, (0, 0, 0)),
    ({"kind": "linear_objective", "slopes": (2.0, -3.0), "start": (1.0, 1.0)}, (5.0, 7.0), 10 - 21, (2, -3)),
    ({"kind": "absolute", "slopes": (2.0, 3.0, 1.0), "start": (1.0,) * 3}, (-5.0, 7.0, 0.0), 10 + 21, (-2, 3, 0)),
    ({"kind": "rastrigin"}, (0.0, 0.0), 0, (0, 0)),
    ({"kind": "rastrigin", "start": (0.25,)}, (0.25,), 10 + 0.0625, (20 * math.pi + 0.5,)),
]
# Hessians at 0: which critical point it is
CURVATURES: list[tuple[dict[str, Any], list[float]]] = [
    ({"kind": "quadratic", "eigenvalues": (10.0, -2.0)}, [-2, 10]),  # 5 x^2 - y^2
    ({"kind": "double_well"}, [-4]),
    ({"kind": "monkey_saddle"}, [0, 0]),
    ({"kind": "toy_linear_net"}, [-2, 2]),
    ({"kind": "rastrigin"}, [2 + 40 * math.pi**2] * 2),
]


def made(document: dict[str, Any]) -> Any:
    model: Any = TypeAdapter(Model).validate_python(document)
    return build(model, (), 1)


@pytest.mark.parametrize(("document", "point", "value", "gradient"), KNOWN)
def test_values_and_gradients_are_those_worked_out_by_hand(
    document: dict[str, Any], point: tuple[float, ...], value: float, gradient: tuple[float, ...]
) -> None:
    x = torch.tensor(point, dtype=torch.float64, requires_grad=True)
    given = made(document).double().value(x)
    assert given.item() == pytest.approx(value, abs=1e-12)
    assert torch.autograd.grad(given, x)[0].tolist() == pytest.approx(list(gradient), abs=1e-12)


@pytest.mark.parametrize(("document", "eigenvalues"), CURVATURES)
def test_zero_is_the_critical_point_it_is_known_as(document: dict[str, Any], eigenvalues: list[float]) -> None:
    module = made(document).double()
    zero = torch.zeros(len(module.x), dtype=torch.float64)
    hessian = torch.autograd.functional.hessian(module.value, zero)
    assert torch.linalg.eigvalsh(hessian).tolist() == pytest.approx(eigenvalues, abs=1e-9)


def curve(model: dict[str, Any], seed: int = 0, **changes: Any) -> list[Step]:
    document: dict[str, Any] = {
        "dataset": {"kind": "none"},
        "loss": {"kind": "objective"},
        "batch_size": "full",
        "optimizer": {"kind": "sgd", "lr": 0.1},
        "steps": 30,
    }
    spec = Experiment.model_validate(document | {"model": model} | changes)
    return list(train(prepare(spec, seed, torch.device("cpu"))))


def point(step: Step) -> list[float]:
    return [float(value) for name, value in (step.metrics or {}).items() if name.startswith("x/")]


def test_gradient_descent_on_a_quadratic_is_its_closed_form() -> None:
    steps = curve({"kind": "quadratic", "eigenvalues": (1.0, 5.0), "start": (2.0, -3.0)})
    for step in steps:
        before = [2 * 0.9 ** (step.step - 1), -3 * 0.5 ** (step.step - 1)]
        assert step.loss.item() == pytest.approx(0.5 * before[0] ** 2 + 2.5 * before[1] ** 2, rel=1e-5)
        assert point(step) == pytest.approx([0.9 * before[0], 0.5 * before[1]], rel=1e-5)


def test_the_point_is_recorded_at_the_evaluations_cadence_where_it_is_small() -> None:
    quadratic: dict[str, Any] = {"kind": "quadratic", "eigenvalues": (1.0,) * 4, "start": (1.0,) * 4}
    some = curve(quadratic, evaluate={"every_steps": 12}, probes=())
    assert [step.step for step in some if step.metrics] == [12, 24, 30]
    assert set(some[11].metrics or {}) == {"x/0", "x/1", "x/2", "x/3"}
    many = curve(quadratic | {"eigenvalues": (1.0,) * 5, "start": (1.0,) * 5}, probes=())
    assert not any(step.metrics for step in many)


def test_a_recorded_point_does_not_move_with_the_training() -> None:
    steps = curve({"kind": "quadratic"})
    assert len({tuple(point(step)) for step in steps}) == 30


def test_a_saddles_exact_start_stays_and_noise_or_spread_leaves_it() -> None:
    saddle: dict[str, Any] = {"kind": "quadratic", "eigenvalues": (5.0, -1.0), "start": (1.0, 0.0)}
    assert abs(point(curve(saddle)[-1])[1]) == 0
    assert abs(point(curve(saddle | {"noise": 0.1})[-1])[1]) > 0.01
    starts = [curve(saddle | {"spread": 0.1}, seed, steps=1)[0].loss.item() for seed in (0, 0, 1)]
    assert starts[0] == starts[1] != starts[2]


def test_noise_is_in_the_gradient_and_not_in_the_value() -> None:
    module = made({"kind": "double_well", "start": (0.0,) * 2000, "noise": 0.5})
    value = module(torch.zeros(1))
    assert value.item() == 2000
    (gradient,) = torch.autograd.grad(value, module.x)
    assert gradient.std().item() == pytest.approx(0.5, rel=0.1)
    assert abs(gradient.mean().item()) < 0.05


def test_adam_finds_the_minimum_of_rosenbrock() -> None:
    steps = curve({"kind": "rosenbrock"}, optimizer={"kind": "adam", "lr": 0.05}, steps=2500)
    assert point(steps[-1]) == pytest.approx([1, 1], abs=0.02)
