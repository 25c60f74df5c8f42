"""Each instrument against a closed form, an exact computation, or the same thing done slowly."""

import json
import math
import random
from typing import Any

import pytest
import torch
from torch import nn

from service.nonfinite import dumps
from worker.trainer.probes.directions import filter_normalised
from worker.trainer.probes.measurement import CheckpointWeights
from worker.trainer.probes.model_copy import ModelCopy
from worker.trainer.probes.on_demand.critical_sharpness import CriticalSharpness, find_critical_factor
from worker.trainer.probes.on_demand.gradient_check import GradientCheck
from worker.trainer.probes.on_demand.line import Line
from worker.trainer.probes.on_demand.noise_scale import NoiseScale, estimate
from worker.trainer.probes.on_demand.overfit_batch import OverfitBatch, least_loss
from worker.trainer.probes.on_demand.plane import Plane
from worker.trainer.probes.on_demand.range_test import RangeTest, running_median, suggest_rates
from worker.trainer.probes.on_demand.slice import Slice
from worker.trainer.probes.on_demand.spectral_density import SpectralDensity, quadrature
from worker.trainer.probes.on_demand.spectrum import Spectrum
from worker.trainer.probes.on_demand.trajectory import Trajectory

TINY = {"kind": "mlp", "hidden": (5,)}


@pytest.mark.parametrize(("start", "lr"), [((1.0, 0.0), 0.01), ((0.0, 1.0), 0.01), ((1.0, 1.0), 0.7)])
def test_critical_sharpness_of_a_quadratic_is_the_curvature_along_its_gradient(
    objective: Any, component: Any, start: tuple[float, ...], lr: float
) -> None:
    eigenvalues = torch.tensor([2.0, 12.0])
    g = eigenvalues * torch.tensor(start)
    expected = float((eigenvalues * g * g).sum() / (g * g).sum())
    look = CriticalSharpness(component(tolerance=1e-3)).measure(
        objective("quadratic", start, lr=lr, eigenvalues=(2.0, 12.0))
    )
    assert look.values["critical_sharpness"] == pytest.approx(expected, rel=2e-3)
    assert look.values["critical_sharpness/ratio"] == pytest.approx(expected * lr / 2, rel=2e-3)


def test_a_direction_without_a_critical_step_says_why() -> None:
    assert find_critical_factor(lambda _: True, 0.1)[1].startswith("not a direction of descent")
    assert "does not rise" in find_critical_factor(lambda _: False, 0.1)[1]
    assert find_critical_factor(lambda f: f > 37.0, 1e-4)[0] == pytest.approx(37, rel=1e-4)
    assert find_critical_factor(lambda f: f > 0.02, 1e-4)[0] == pytest.approx(0.02, rel=1e-4)


def test_signal_and_noise_of_all_rows_are_mean_and_variance_of_the_gradients_of_single_rows(trained: Any) -> None:
    copy = ModelCopy(trained(10, model=TINY))
    rows = torch.arange(60)
    single = torch.stack([copy.gradient(rows[i : i + 1]) for i in rows])
    mean = single.mean(0)
    noise = float(((single - mean) ** 2).sum() / 59)  # unbiased
    found = estimate(copy, rows, pieces=60)
    assert found.noise == pytest.approx(noise, rel=1e-9)
    assert found.signal == pytest.approx(float(mean @ mean) - noise / 60, rel=1e-9)


def test_the_noise_scale_is_the_quotient_of_means_and_not_the_mean_of_quotients(trained: Any, component: Any) -> None:
    training = trained(10, model=TINY)
    look = NoiseScale(component(rows=48, pieces=8, draws=6)).measure(training)
    assert look.data is not None
    assert look.data["draws"] == 6
    assert look.values["noise_scale"] == pytest.approx(look.data["noise"] / look.data["signal"])
    assert look.values["noise_scale/ratio"] == pytest.approx(16 / look.values["noise_scale"])


def test_the_spectrum_is_that_of_the_dense_hessian_counted_with_a_tolerance(trained: Any, component: Any) -> None:
    training = trained(20, model=TINY)
    look = Spectrum(component()).measure(training)
    eigenvalues = torch.linalg.eigvalsh(ModelCopy(training).hessian())
    assert look.data is not None
    assert look.data["eigenvalues"] == pytest.approx(eigenvalues.tolist(), rel=1e-5, abs=1e-10)
    tolerance = 1e-6 * float(eigenvalues.abs().max())
    assert look.values["spectrum/minimum_ratio"] == sum(e > tolerance for e in eigenvalues.tolist()) / len(eigenvalues)
    shares = look.data["negative"]
    assert shares["0"] >= shares["1e-06"] >= shares["0.001"]
    assert sum(look.data["histogram"]["counts"]) == len(eigenvalues)


def test_the_quadrature_of_a_random_vector_has_its_moments(trained: Any, component: Any) -> None:
    """K steps integrate polynomials up to degree 2K - 1 exactly: v'v, v'Hv, ..., v'H^5v with three."""
    training = trained(20, model=TINY)
    copy = ModelCopy(training)
    nodes, weights = quadrature(copy, iterations=3, vectors=2)
    h = copy.hessian()
    v = torch.randn(copy.n, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    v /= v.norm()
    for power in range(6):
        exact = float(v @ torch.linalg.matrix_power(h, power) @ v)
        assert float((nodes[1] ** power * weights[1]).sum()) == pytest.approx(exact, rel=1e-8)
    look = SpectralDensity(component(iterations=20, vectors=30)).measure(training)
    assert look.data is not None
    assert abs(look.data["trace"] - float(h.trace())) < 4 * look.data["trace_error"]
    at, density = torch.tensor(look.data["grid"]), torch.tensor(look.data["density"])
    assert float(torch.trapezoid(density, at)) == pytest.approx(1, abs=0.01)


def test_a_filter_normalised_direction_has_the_length_of_each_row_and_leaves_biases(trained: Any) -> None:
    copy = ModelCopy(trained(5))
    parts = copy.split(filter_normalised(copy, seed=3))
    for p, part in zip(copy.parameters, parts, strict=True):
        if p.dim() == 1:
            assert not part.any()
        else:
            assert torch.allclose(part.norm(dim=1), p.norm(dim=1))


def test_a_plane_is_the_same_for_a_net_whose_layers_are_rescaled(trained: Any, component: Any) -> None:
    training = trained(20, model={"kind": "mlp", "hidden": (8,)})
    tool = Plane(component(points=5, directions="random", reach=1.0, chance=0))
    before = tool.measure(training).data
    with torch.no_grad():
        training.model.layers[0].weight.mul_(16)
        training.model.layers[0].bias.mul_(16)
        training.model.layers[2].weight.div_(16)
    after = tool.measure(training).data
    assert before is not None
    assert after is not None
    assert torch.allclose(torch.tensor(after["losses"]), torch.tensor(before["losses"]), rtol=1e-5)
    assert before["losses"][2][2] == pytest.approx(before["loss"], rel=1e-6)


def test_a_slice_along_the_escape_of_a_quadratic_is_its_parabola(objective: Any, component: Any) -> None:
    training = objective("quadratic", (0.0, 0.5), eigenvalues=(-2.0, 10.0))
    look = Slice(component(points=9, direction="escape", reach=1.0)).measure(training)
    assert look.data is not None
    for at, loss in zip(look.data["at"], look.data["losses"], strict=True):
        assert loss == pytest.approx(1.25 - (0.5 * at) ** 2, rel=1e-6)
    assert look.data["losses"][4] == look.data["loss"]


@pytest.mark.parametrize("direction", ["gradient", "update", "sharpest", "initial", "random"])
def test_every_slice_passes_through_here(trained: Any, component: Any, direction: str) -> None:
    training = trained(20, model=TINY, optimizer={"kind": "adam", "lr": 0.01})
    look = Slice(component(points=11, direction=direction, reach=None)).measure(training)
    assert look.data is not None
    nearest = min(zip(look.data["at"], look.data["losses"], strict=True), key=lambda pair: abs(pair[0]))
    assert nearest[1] == pytest.approx(look.data["loss"], rel=0.2)
    if direction == "initial":
        assert look.data["at"][0] == pytest.approx(-1.25)


def test_a_straight_way_has_all_its_variance_on_one_line(trained: Any, component: Any) -> None:
    training = trained(0, model=TINY)
    weights = {name: value.clone() for name, value in training.model.state_dict().items()}
    drawn = {name: torch.randn_like(value) for name, value in weights.items()}
    kept = [
        CheckpointWeights(step, {n: w + 0.01 * step * drawn[n] for n, w in weights.items()}) for step in (10, 20, 30)
    ]
    look = Trajectory(component(points=4), kept).measure(training)
    assert look.data is not None
    assert look.data["explained"][0] == pytest.approx(1, abs=1e-6)
    assert look.data["steps"] == [0, 10, 20, 30]
    assert sorted(map(abs, look.data["x"])) == pytest.approx(
        [0, *(abs(look.data["x"][1]) * k for k in (1, 2, 3))], rel=1e-4
    )
    assert look.data["losses_on_plane"] == pytest.approx(look.data["losses"], rel=1e-4)


def test_a_way_of_two_places_is_no_plane_and_says_so(trained: Any, component: Any) -> None:
    look = Trajectory(component(points=4)).measure(trained(0))
    assert look.data is not None
    assert "three" in look.data["why"]


def test_the_line_between_two_minima_of_a_double_well_has_the_barrier_between_them(
    objective: Any, component: Any
) -> None:
    training = objective("double_well", (-1.0,), barrier=3.0)
    tool = Line(component(points=21, run="run_x"), other={"x": torch.tensor([1.0])})
    look = tool.measure(training)
    assert look.values["line/barrier"] == pytest.approx(3)
    other_model = Line(component(points=21, run="run_x"), other={"y": torch.tensor([1.0])}).measure(training).data
    assert other_model is not None
    assert "a different model" in other_model["not_applicable"]


def test_the_range_test_stops_where_the_loss_explodes_and_suggests_a_rate_that_trains(
    trained: Any, component: Any
) -> None:
    training = trained(0, batch_size=64)
    look = RangeTest(component(lowest=1e-5, highest=1e3, steps=100)).measure(training)
    assert look.data is not None
    assert look.data["complete"] is False
    assert 1e-3 < look.data["steepest"] < look.data["stopped_at"]
    assert len(look.data["rates"]) == len(look.data["losses"]) == len(look.data["smoothed"])
    assert look.data["why"] == ""


def suggested(losses: list[float], side: int = 0) -> tuple[float | None, float | None]:
    """Of rates 1, 2, 3, ... with these losses."""
    return suggest_rates([float(i) for i in range(1, len(losses) + 1)], losses, running_median(losses, side))


def test_a_rate_is_suggested_before_the_least_loss_and_none_where_the_loss_never_fell() -> None:
    assert suggested([1.0, 2.0, 3.0, 4.0]) == (None, None)
    assert suggested([3.0, 2.9, 1.0, 8.0]) == (2.0, 0.3)
    assert suggested([3.0, 2.0, 9.0, 2.1, 8.0]) == (1.0, 0.2)  # the steepest fall of all lies behind the least loss
    assert suggested([3.0, 2.9, 2.0, 1.0, math.inf]) == (3.0, 0.4)
    falling = [max(0.2, 2.0 - 0.04 * i) + (0.0 if i < 60 else 0.3 * (i - 60)) for i in range(80)]
    noise = random.Random(0)
    steepest, tenth = suggested([each + 0.05 * noise.gauss(0, 1) for each in falling], side=4)
    assert steepest is not None
    assert tenth is not None
    assert steepest < 10 * tenth < 64
    noisy = [[1 + 0.3 * random.Random(seed * 1000 + i).gauss(0, 1) for i in range(100)] for seed in range(100)]
    assert sum(suggested(each, side=5) != (None, None) for each in noisy) <= 10  # losses that are noise alone
    rising = [1 + 0.01 * i + 0.05 * math.sin(i) for i in range(100)]
    assert suggested(rising, side=5) == (None, None)


def test_a_healthy_net_learns_one_batch_by_heart_and_a_closed_one_does_not(trained: Any, component: Any) -> None:
    tool = OverfitBatch(component(steps=300))
    adam = {"kind": "adam", "lr": 0.02}
    healthy = tool.measure(trained(0, optimizer=adam, model={"kind": "mlp", "hidden": (32,), "dropout": 0.5}))
    assert healthy.data is not None
    assert healthy.data["passed"] is True
    narrow = tool.measure(trained(0, model={"kind": "mlp", "hidden": (1,), "init": {"kind": "zeros"}}))
    assert narrow.data is not None
    assert narrow.data["passed"] is False
    assert narrow.data["rates"] == [3e-3, 3e-2, 3e-4]
    assert narrow.values["overfit_batch/share"] > 0.2


@pytest.mark.parametrize("rate", [1e-6, 10.0])
def test_a_rate_that_does_not_train_the_run_does_not_look_like_a_wrong_model(
    rate: float, trained: Any, component: Any
) -> None:
    training = trained(5, optimizer={"kind": "sgd", "lr": rate}, nonfinite="continue")
    found = OverfitBatch(component(steps=300)).measure(training).data
    assert found is not None
    assert (found["passed"], found["optimizer"]) == (True, "adam")


def test_label_smoothing_leaves_the_entropy_of_the_smoothed_answer(experiment: Any) -> None:
    spec = experiment(loss={"kind": "cross_entropy", "label_smoothing": 0.1})
    answer = torch.tensor([0.9 + 0.1 / 3, 0.1 / 3, 0.1 / 3])
    smoothed = nn.CrossEntropyLoss(label_smoothing=0.1)(answer.log()[None], torch.tensor([0]))
    assert least_loss(spec) == pytest.approx(float(smoothed), rel=1e-6)


class Wrong(torch.autograd.Function):
    """Doubles, and says that it does not."""

    @staticmethod
    def forward(_ctx: Any, x: torch.Tensor) -> torch.Tensor:
        return 2 * x

    @staticmethod
    def backward(_ctx: Any, g: torch.Tensor) -> torch.Tensor:
        return g


class WrongLayer(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = Wrong.apply(x)
        return found


def test_a_right_gradient_passes_and_a_wrong_backward_is_found_in_the_layers_before_it(
    trained: Any, component: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    training = trained(3, model={"kind": "mlp", "hidden": (8,), "activation": "tanh"})
    tool = GradientCheck(component(directions=3))
    right = tool.measure(training).data
    assert right is not None
    assert right["passed"] is True
    assert right["largest"] < 1e-6
    from worker.trainer.probes import model_copy

    rebuild = model_copy.rebuild

    def broken(subject: Any) -> nn.Module:
        model = rebuild(subject)
        model.layers[1] = nn.Sequential(nn.Tanh(), WrongLayer())
        return model

    monkeypatch.setattr(model_copy, "rebuild", broken)
    wrong = tool.measure(training).data
    assert wrong is not None
    assert wrong["passed"] is False
    assert wrong["worst"].startswith("layers.0")
    assert wrong["parameters"]["layers.2.bias"] < 1e-6


def test_readings_are_json_of_bounded_size_even_where_losses_are_infinite(objective: Any, component: Any) -> None:
    training = objective("quadratic", (1.0, 1.0))
    with torch.no_grad():
        training.model.x.fill_(float("inf"))
    look = Plane(component(points=101, directions="random", reach=1.0, chance=0)).measure(training)
    text = dumps(look.data)
    assert len(text) < 256 * 1024
    assert not any(math.isnan(x) for x in look.values.values())
    assert json.loads(text)["twin"]["rows"] == 1


def test_a_slice_along_an_own_direction_is_the_loss_at_the_own_positions(objective: Any, component: Any) -> None:
    training = objective("quadratic", (1.0, 2.0), eigenvalues=(2.0, 12.0))
    look = Slice(component(along={"x": (3.0, -1.0)}, at=(-1.0, 0.5, 7.0), points=5)).measure(training)
    assert look.data is not None
    assert look.data["direction"] == "own"
    assert look.data["at"] == [-1.0, 0.5, 7.0]
    expected = [(1 + 3 * a) ** 2 + 6 * (2 - a) ** 2 for a in (-1.0, 0.5, 7.0)]
    assert look.data["losses"] == pytest.approx(expected, rel=1e-6)


def test_a_plane_of_own_directions_has_the_loss_at_each_crossing(objective: Any, component: Any) -> None:
    training = objective("quadratic", (1.0, 2.0), eigenvalues=(2.0, 12.0))
    along = ({"x": (1.0, 0.0)}, {"x": (1.0, 1.0)})
    look = Plane(component(along=along, x=(0.0, 1.0, 2.0), y=(-2.0, 5.0), points=5, reach=1.0)).measure(training)
    assert look.data is not None
    assert (look.data["directions"], look.data["x"], look.data["y"]) == ("own", [0.0, 1.0, 2.0], [-2.0, 5.0])
    expected = [[(1 + x + y) ** 2 + 6 * (2 + y) ** 2 for x in (0.0, 1.0, 2.0)] for y in (-2.0, 5.0)]
    assert look.data["losses"] == [pytest.approx(row, rel=1e-6) for row in expected]


def test_a_direction_that_does_not_fit_the_model_is_named(objective: Any, component: Any) -> None:
    training = objective("quadratic", (1.0, 2.0), eigenvalues=(2.0, 12.0))
    with pytest.raises(ValueError, match="3 numbers for x, which has 2"):
        Slice(component(along={"x": (1.0, 0.0, 0.0)})).measure(training)
    with pytest.raises(ValueError, match="no parameter y"):
        Slice(component(along={"y": (1.0,)})).measure(training)
