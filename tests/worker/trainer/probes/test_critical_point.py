"""The verdict about points whose kind is known, and the way out of saddles."""

from typing import Any

import pytest
import torch

from worker.trainer.loop import train
from worker.trainer.probes.lanczos import Extremes
from worker.trainer.probes.model_copy import ModelCopy
from worker.trainer.probes.on_demand.critical_point import CriticalPoint, judge

V = torch.zeros(1)


@pytest.fixture
def tool(component: Any) -> CriticalPoint:
    return CriticalPoint(component(products=200, anyway=False))


POINTS: list[tuple[str, tuple[float, ...], dict[str, Any], str]] = [
    ("quadratic", (0.0, 0.0), {"eigenvalues": (1.0, 10.0)}, "minimum"),
    ("quadratic", (0.0, 0.0), {"eigenvalues": (0.0, 10.0)}, "minimum_up_to_flat_directions"),
    ("quadratic", (0.0, 0.0), {"eigenvalues": (-2.0, 10.0)}, "strict_saddle"),
    ("quadratic", (0.0, 0.0), {"eigenvalues": (-2.0, -1.0)}, "maximum"),
    ("quadratic", (0.3, 0.0), {"eigenvalues": (1.0, 10.0)}, "not_critical"),
    ("monkey_saddle", (0.0, 0.0), {}, "degenerate"),
    ("double_well", (0.0,), {}, "maximum"),
    ("double_well", (1.0, -1.0), {}, "minimum"),
    ("double_well", (0.0, 1.0), {}, "strict_saddle"),
    ("toy_linear_net", (0.0, 0.0), {}, "strict_saddle"),
    ("toy_linear_net", (0.0, 0.0, 0.0), {}, "degenerate"),
    ("toy_linear_net", (2.0, 0.5), {}, "minimum_up_to_flat_directions"),
    ("rosenbrock", (1.0, 1.0), {}, "minimum"),
]


@pytest.mark.parametrize(("kind", "start", "fields", "verdict"), POINTS)
def test_points_of_known_kind(
    objective: Any, tool: CriticalPoint, kind: str, start: tuple[float, ...], fields: dict[str, Any], verdict: str
) -> None:
    look = tool.measure(objective(kind, start, **fields))
    assert look.data is not None
    assert look.data["verdict"] == verdict
    leads_out = verdict in ("strict_saddle", "degenerate", "maximum")
    assert (tool.escape is not None) == leads_out
    if leads_out:
        assert look.data["escapable"] is True
        assert look.data["escape"]["measured_drop"] > 0


def test_two_layers_at_the_origin_have_eigenvalues_of_2_and_a_drop_as_predicted(
    objective: Any, tool: CriticalPoint
) -> None:
    """(1 - xy)^2 has the Hessian (0 -2; -2 0) at 0: down along the diagonal, up across it."""
    look = tool.measure(objective("toy_linear_net", (0.0, 0.0)))
    assert look.data is not None
    assert look.data["lambda_min"] == pytest.approx(-2)
    assert look.data["lambda_max"] == pytest.approx(2)
    assert tool.escape is not None
    assert tool.escape.direction.abs().tolist() == pytest.approx([0.5**0.5] * 2)
    for length, loss in zip(tool.escape.lengths, tool.escape.losses, strict=True):
        assert loss == pytest.approx((1 - length**2 / 2) ** 2)


def test_descent_that_stays_at_a_saddle_goes_on_from_the_state_that_leads_out(
    objective: Any, tool: CriticalPoint
) -> None:
    training = objective("toy_linear_net", (0.0, 0.0), lr=0.1)
    stuck = [float(step.loss) for step in train(training)]
    assert stuck == [1.0] * 40
    fresh = objective("toy_linear_net", (0.0, 0.0), lr=0.1)
    assert tool.step_out(fresh) is False  # before any look
    tool.measure(fresh)
    assert tool.step_out(fresh) is True
    assert [float(step.loss) for step in train(fresh)][-1] < 1e-3


def test_a_network_of_zeros_stands_at_a_saddle_that_can_be_left(trained: Any, tool: CriticalPoint) -> None:
    changes: dict[str, Any] = {"optimizer": {"kind": "sgd", "lr": 0.5}, "batch_size": "full"}
    training = trained(0, model={"kind": "mlp", "hidden": (6,), "activation": "tanh"}, **changes)
    with torch.no_grad():
        for p in training.model.parameters():
            p.zero_()
    logits = 3.0 * torch.tensor([40, 40, 40]) / 120  # balanced classes: zero biases are the best constant
    assert logits.tolist() == [1.0] * 3
    tool.anyway = True
    look = tool.measure(training)
    assert look.data is not None
    assert look.data["curvature"] == "strict_saddle"
    assert look.data["escapable"] is True
    before = ModelCopy(training).value()
    assert tool.step_out(training)
    assert ModelCopy(training).value() == pytest.approx(before - look.values["critical_point/drop"], rel=1e-5)


def test_a_training_under_way_is_at_no_critical_point(trained: Any, tool: CriticalPoint) -> None:
    look = tool.measure(trained(5))
    assert look.data is not None
    assert look.data["verdict"] == "not_critical"
    assert look.data["nearness"]["gradient"] > look.data["nearness"]["first_gradient"] * 1e-3
    assert "lambda_min" not in look.data


def test_lanczos_and_all_eigenvalues_agree_about_the_same_network(trained: Any, component: Any) -> None:
    training = trained(30, model={"kind": "mlp", "hidden": (16,)})
    dense = CriticalPoint(component(products=10_000, anyway=True)).measure(training).data
    short = CriticalPoint(component(products=100, anyway=True)).measure(training).data
    assert dense is not None
    assert short is not None
    assert (dense["method"], short["method"]) == ("dense", "lanczos")
    assert short["lambda_max"] == pytest.approx(dense["lambda_max"], rel=1e-8)
    assert short["lambda_min"] == pytest.approx(dense["lambda_min"], rel=1e-2)
    assert short["curvature"] == dense["curvature"] == "strict_saddle"


ENDS: list[tuple[float, float, float, str]] = [  # low, its residual, high, verdict at the tolerance 1e-6
    (-1e-2, 5e-3, 1.0, "inconclusive"),
    (-1e-2, 5e-4, 1.0, "strict_saddle"),
    (-2.0, 1e-9, -1.0, "maximum"),
    (1e-2, 1e-4, 1.0, "minimum"),
    (1e-8, 1e-9, 1.0, "minimum_up_to_flat_directions"),
    (1e-8, 1e-1, 1.0, "inconclusive"),
    (-1e-9, 0.0, 1e-9, "degenerate"),
]


@pytest.mark.parametrize(("low", "residual", "high", "verdict"), ENDS)
def test_a_residual_as_large_as_its_eigenvalue_decides_nothing(
    low: float, residual: float, high: float, verdict: str
) -> None:
    assert judge(Extremes(low, residual, V, high, 0.0, V, 60), 1e-6) == verdict
