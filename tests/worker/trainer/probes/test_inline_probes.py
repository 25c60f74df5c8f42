"""Every watcher against a plain second version of its definition, computed from a run that nobody watches."""

import copy
import json
import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import nn

from service.spec.experiment import Experiment
from worker.trainer.loop import Training, prepare, train
from worker.trainer.probes.inline.activations import Activations, Sums, measured_modules
from worker.trainer.probes.inline.effective_rates import ordered
from worker.trainer.probes.inline.gradient_cosines import cosines
from worker.trainer.probes.inline.layers import spread_evenly
from worker.trainer.probes.inline.sanity_checks import best_constant, feature_statistics
from worker.trainer.probes.inline.update_ratios import ratio

Array = npt.NDArray[np.float64]
CPU, STEPS = torch.device("cpu"), 12
PLAIN: dict[str, Any] = {
    "dataset": {"kind": "iris"},
    "model": {"kind": "mlp", "hidden": [7]},
    "loss": {"kind": "cross_entropy"},
    "optimizer": {"kind": "sgd", "lr": 0.05},
    "batch_size": 16,
    "steps": STEPS,
}


class Moment(NamedTuple):
    """What a step of an unwatched run had, as plain arrays by parameter name."""

    gradient: dict[str, Array]  # as the optimizer saw it
    before: dict[str, Array]
    after: dict[str, Array]


def made(probes: list[str], every: int | None = 1, **changes: Any) -> Training:
    document = PLAIN | changes | {"probes": [{"kind": kind, "every_steps": every} for kind in probes]}
    return prepare(Experiment.model_validate_json(json.dumps(document)), 0, CPU)


def watched(probes: list[str], every: int | None = 1, **changes: Any) -> dict[int, dict[str, float]]:
    training = made(probes, every, **changes)
    found = {step.step: {name: float(v) for name, v in (step.metrics or {}).items()} for step in train(training)}
    assert [told.data for told in training.probes.readings if "error" in told.data] == []
    return found


def weights(model: nn.Module) -> dict[str, Array]:
    return {name: p.detach().double().numpy().copy() for name, p in model.named_parameters()}


def moments(**changes: Any) -> Iterator[Moment]:
    training = made([], **changes)
    before, gradient = weights(training.model), dict[str, Array]()

    def note(*_: Any) -> None:  # some optimizers change the gradients while they step
        for name, p in training.model.named_parameters():
            assert p.grad is not None
            gradient[name] = p.grad.double().numpy().copy()

    training.optimizers[0].register_step_pre_hook(note)
    for _ in train(training):
        after = weights(training.model)
        yield Moment(dict(gradient), before, after)
        before = after


def flat(tensors: dict[str, Array]) -> Array:
    return np.concatenate([each.ravel() for each in tensors.values()])


def layer(tensors: dict[str, Array], name: str) -> Array:
    return np.concatenate([each.ravel() for path, each in tensors.items() if path.rpartition(".")[0] == name])


def test_gradient_norms_are_those_of_all_and_of_each_layer() -> None:
    seen = watched(["gradients"])
    for step, moment in enumerate(moments(), 1):
        assert seen[step]["grad_norm"] == pytest.approx(np.linalg.norm(flat(moment.gradient)), rel=1e-5)
        for name in ("layers.0", "layers.2"):
            norm = np.linalg.norm(layer(moment.gradient, name))
            assert seen[step][f"grad_norm/{name}"] == pytest.approx(norm, rel=1e-5)


def test_gradient_norms_are_taken_before_clipping_and_the_clippings_own_stands() -> None:
    clipped, free = watched(["gradients"], clip={"norm": 1e-3}), watched(["gradients"], clip={"norm": 1e3})
    assert clipped[1]["grad_norm/layers.2"] == free[1]["grad_norm/layers.2"] > 0.01
    assert clipped[1]["grad_norm"] == watched([], clip={"norm": 1e-3})[1]["grad_norm"]


def test_update_ratios_are_the_change_over_the_weights_before_it() -> None:
    seen = watched(["updates"], optimizer={"kind": "adam", "lr": 0.01})
    for step, moment in enumerate(moments(optimizer={"kind": "adam", "lr": 0.01}), 1):
        change = {name: moment.after[name] - moment.before[name] for name in moment.after}
        whole = np.linalg.norm(flat(change)) / np.linalg.norm(flat(moment.before))
        assert seen[step]["update_ratio"] == pytest.approx(whole, rel=1e-4)
        own = np.linalg.norm(layer(change, "layers.2")) / np.linalg.norm(layer(moment.before, "layers.2"))
        assert seen[step]["update_ratio/layers.2"] == pytest.approx(own, rel=1e-4)


@pytest.mark.parametrize("lr", [1e-9, 1e-7, 1e-3])
def test_underflow_is_the_share_of_given_gradients_that_moved_nothing(lr: float) -> None:
    optimizer = {"kind": "sgd", "lr": lr}
    seen = watched(["updates"], optimizer=optimizer)
    shares = []
    for step, moment in enumerate(moments(optimizer=optimizer), 1):
        given = flat(moment.gradient) != 0
        still = flat(moment.after) == flat(moment.before)
        shares.append((given & still).sum() / given.sum())
        assert seen[step]["underflow_share"] == pytest.approx(shares[-1], abs=1e-6)
    assert (shares[0] > 0.5) == (lr < 1e-5)


def test_a_rate_of_0_is_no_underflow_and_weights_of_0_have_no_ratio_to_divide_by() -> None:
    seen = watched(["updates"], schedule={"kind": "cosine"}, steps=6)
    assert "underflow_share" in seen[5]
    assert ratio(0.0, 0.0) == 0.0
    assert ratio(1.0, 0.0) == math.inf
    zero, one = torch.zeros(()), torch.ones(())
    assert [float(ratio(a, b)) for a, b in ((zero, zero), (one, zero), (zero, one))] == [0.0, math.inf, 0.0]


@pytest.mark.parametrize("every", [1, 5])
def test_cosines_are_of_successive_steps_whatever_the_cadence(every: int) -> None:
    optimizer = {"kind": "sgd", "lr": 0.05, "momentum": 0.9}
    seen = watched(["cosines"], every, optimizer=optimizer)
    history = [flat(moment.gradient) for moment in moments(optimizer=optimizer)]
    buffer, compared = np.zeros_like(history[0]), 0
    for step, gradient in enumerate(history, 1):
        buffer = 0.9 * buffer + gradient
        if "cosine/momentum" in seen[step]:
            assert seen[step]["cosine/momentum"] == pytest.approx(between(buffer, gradient), abs=1e-5)
        if "cosine/gradient" in seen[step]:
            compared += 1
            assert seen[step]["cosine/gradient"] == pytest.approx(between(gradient, history[step - 2]), abs=1e-5)
    assert compared == {1: STEPS - 1, 5: 3}[every]
    assert [step for step in seen if "cosine/momentum" in seen[step]] == (
        list(range(1, STEPS + 1)) if every == 1 else [5, 10, 12]
    )


def between(one: Array, other: Array) -> float:
    return float(one @ other / np.linalg.norm(one) / np.linalg.norm(other))


def test_the_cosine_with_nothing_is_0() -> None:
    assert cosines([torch.zeros(3)], [[torch.ones(3)]]) == [0.0]


def test_cosines_of_vectors_in_pieces_are_those_of_whole_vectors_and_of_each_run_of_a_pack() -> None:
    one, other, third = torch.randn(3, 2, 12, generator=torch.Generator().manual_seed(0))
    expected = [torch.nn.functional.cosine_similarity(one, each) for each in (other, third)]
    stacked = cosines([one], [[other], [third]])
    for run in range(2):
        whole = cosines([one[run]], [[other[run]], [third[run]]])
        pieces = cosines([*one[run].split([5, 7])], [[*each[run].split([5, 7])] for each in (other, third)])
        for found in (whole, pieces, [torch.as_tensor(each)[run] for each in stacked]):
            assert [float(each) for each in found] == pytest.approx([float(each[run]) for each in expected], abs=1e-6)


@pytest.mark.parametrize("last", [0.5, math.inf, math.nan])
def test_numbers_at_places_of_the_order_are_those_of_a_sort(last: float) -> None:
    sample = torch.cat([torch.rand(100, generator=torch.Generator().manual_seed(0)), torch.tensor([last, -1.0])])
    places = [1, 25, 50, 75, 101]
    assert ordered(sample, places) == pytest.approx(sample.sort().values[places].tolist(), nan_ok=True)
    assert torch.stack([torch.as_tensor(each) for each in ordered(sample[None], places)]).shape == (5, 1)


# Second versions of the effective rates: from the gradients alone, in float64, one step after the other.


def of_adam(g: list[Array], lr: float) -> Array:
    v = np.zeros_like(g[0])
    for each in g:
        v = 0.999 * v + 0.001 * each**2
    return lr / (np.sqrt(v / (1 - 0.999 ** len(g))) + 1e-8)


def of_amsgrad(g: list[Array], lr: float) -> Array:
    v, largest = np.zeros_like(g[0]), np.zeros_like(g[0])
    for each in g:
        v = 0.999 * v + 0.001 * each**2
        largest = np.maximum(largest, v)
    return lr / (np.sqrt(largest / (1 - 0.999 ** len(g))) + 1e-8)


def of_radam(g: list[Array], lr: float) -> Array:
    t, v, most = len(g), np.zeros_like(g[0]), 2 / 0.001 - 1
    for each in g:
        v = 0.999 * v + 0.001 * each**2
    rho = most - 2 * t * 0.999**t / (1 - 0.999**t)
    if rho <= 5:
        return np.full_like(v, lr)
    r = math.sqrt((rho - 4) * (rho - 2) * most / ((most - 4) * (most - 2) * rho))
    return lr * r * math.sqrt(1 - 0.999**t) / (np.sqrt(v) + 1e-8)


def of_schedule_free_radam(g: list[Array], lr: float) -> Array:
    t, most = len(g), 2 / 0.001 - 1
    rho = most - 2 * t * 0.999**t / (1 - 0.999**t)
    if rho <= 4:
        return np.full_like(g[0], lr)
    return of_adam(g, lr) * math.sqrt((rho - 4) * (rho - 2) * most / ((most - 4) * (most - 2) * rho))


def of_adamax(g: list[Array], lr: float) -> Array:
    u = np.zeros_like(g[0])
    for each in g:
        u = np.maximum(0.999 * u, np.abs(each) + 1e-8)
    return lr / u


def of_rmsprop(g: list[Array], lr: float) -> tuple[Array, Array]:
    v, mean = np.zeros_like(g[0]), np.zeros_like(g[0])
    for each in g:
        v, mean = 0.99 * v + 0.01 * each**2, 0.99 * mean + 0.01 * each
    return lr / (np.sqrt(v) + 1e-8), lr / (np.sqrt(v - mean**2) + 1e-8)


def of_adagrad(g: list[Array], lr: float) -> Array:
    return lr / (1 + (len(g) - 1) * 0.1) / (np.sqrt(sum(each**2 for each in g)) + 1e-10)


def of_adadelta(g: list[Array], lr: float) -> Array:
    v, d = np.zeros_like(g[0]), np.zeros_like(g[0])
    for each in g:
        v = 0.9 * v + 0.1 * each**2
        step = np.sqrt((d + 1e-6) / (v + 1e-6)) * each
        d = 0.9 * d + 0.1 * step**2
    return lr * np.sqrt((d + 1e-6) / (v + 1e-6))


def of_lecture_adagrad(g: list[Array], lr: float) -> Array:
    sigma = np.sqrt(sum(each**2 for each in g) / len(g))
    return np.where(sigma > 0, lr / np.where(sigma > 0, sigma, 1), 0)


ADAPTIVE: list[tuple[dict[str, Any], Callable[[list[Array], float], Array]]] = [
    ({"kind": "adam"}, of_adam),
    ({"kind": "adamw"}, of_adam),
    ({"kind": "nadam"}, of_adam),
    ({"kind": "schedule_free_adamw"}, of_adam),
    ({"kind": "schedule_free_radam", "silent_sgd_phase": False}, of_schedule_free_radam),
    ({"kind": "adam", "amsgrad": True}, of_amsgrad),
    ({"kind": "radam"}, of_radam),
    ({"kind": "adamax"}, of_adamax),
    ({"kind": "rmsprop"}, lambda g, lr: of_rmsprop(g, lr)[0]),
    ({"kind": "rmsprop", "centered": True}, lambda g, lr: of_rmsprop(g, lr)[1]),
    ({"kind": "adagrad", "lr_decay": 0.1}, of_adagrad),
    ({"kind": "adadelta"}, of_adadelta),
    ({"kind": "lecture_adagrad"}, of_lecture_adagrad),
]


@pytest.mark.parametrize(
    ("optimizer", "twin"), ADAPTIVE, ids=lambda value: str(value.get("kind")) if isinstance(value, dict) else ""
)
def test_effective_rates_are_those_of_the_optimizers_formula(
    optimizer: dict[str, Any], twin: Callable[[list[Array], float], Array]
) -> None:
    spread_evenly = {"lr": 0.003} | optimizer
    more = {"betas": [0.9, 0.999]} if optimizer["kind"].startswith("schedule_free") else {}
    seen = watched(["rates"], optimizer=spread_evenly | more)
    history: list[Array] = []
    for step, moment in enumerate(moments(optimizer=spread_evenly | more), 1):
        history.append(flat(moment.gradient))
        rates = np.sort(twin(history, 0.003))
        for name, q in (
            ("q00", 0),
            ("q01", 0.01),
            ("q25", 0.25),
            ("q50", 0.5),
            ("q75", 0.75),
            ("q99", 0.99),
            ("q100", 1),
        ):
            at = rates[round(q * (len(rates) - 1))]
            assert seen[step][f"rate/{name}"] == pytest.approx(at, rel=2e-3), (step, name)
        unused = np.mean([not np.any(column) for column in np.transpose(history)])
        assert seen[step]["rate/unused"] == pytest.approx(unused, abs=1e-6)


def test_one_rate_for_all_is_not_told_as_many() -> None:
    assert not any(name.startswith("rate/") for step in watched(["rates"]).values() for name in step)


def test_rates_are_of_every_group_with_its_own_lr() -> None:
    groups = [{"match": {"module": "Linear", "dim": 1}, "lr": 0.3}]
    seen = watched(["rates"], optimizer={"kind": "adam", "lr": 0.003}, groups=groups)
    assert (
        seen[STEPS]["rate/q100"] > 50 * watched(["rates"], optimizer={"kind": "adam", "lr": 0.003})[STEPS]["rate/q50"]
    )


@pytest.mark.parametrize(("activation", "accumulate"), [("relu", 1), ("relu", 3), ("tanh", 1), ("sigmoid", 4)])
def test_activations_are_those_of_the_steps_own_batch(activation: str, accumulate: int) -> None:
    model = {"kind": "mlp", "hidden": [40], "activation": activation, "init": {"kind": "normal", "std": 2.0}}
    seen = watched(["activations"], model=model, accumulate=accumulate)
    batches = made([], model=model).batches
    for step, moment in enumerate(moments(model=model, accumulate=accumulate), 1):
        x = batches.batch(step)[0].double().numpy()
        hidden = x @ moment.before["layers.0.weight"].T + moment.before["layers.0.bias"]
        out = {"relu": np.maximum(hidden, 0), "tanh": np.tanh(hidden), "sigmoid": 1 / (1 + np.exp(-hidden))}[activation]
        found = seen[step]
        assert found["activation/mean/layers.1"] == pytest.approx(out.mean(), rel=1e-4, abs=1e-6)
        assert found["activation/std/layers.1"] == pytest.approx(out.std(), rel=1e-4)
        logits = out @ moment.before["layers.2.weight"].T + moment.before["layers.2.bias"]
        assert found["activation/std/layers.2"] == pytest.approx(logits.std(), rel=1e-4)
        if activation == "relu":
            assert found["dead_share/layers.1"] == pytest.approx((out.max(0) == 0).mean(), abs=1e-6)
        else:
            low = -1 if activation == "tanh" else 0
            full = ((out <= low + 0.01) | (out >= 0.99)).mean()
            assert found["saturated_share/layers.1"] == pytest.approx(full, abs=2e-3)
            assert full > 0.1


def test_a_convolutions_units_are_its_channels_and_a_sequences_its_features() -> None:
    conv = nn.Sequential(nn.Conv1d(2, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(9, 4), nn.ReLU(), nn.Linear(4, 2))
    assert [(place.name, place.unit, place.relu) for place in measured_modules(conv)] == [
        ("1", 1, True),
        ("4", -1, True),
        ("5", -1, False),
    ]
    assert [place.name for place in measured_modules(nn.Sequential(nn.Linear(2, 3), nn.Flatten()))] == ["0"]


def test_dead_channels_of_a_convolution_are_those_that_are_0_everywhere() -> None:
    model = {"kind": "cnn", "channels": [6], "hidden": []}
    changes: dict[str, Any] = {"dataset": {"kind": "digits"}, "model": model, "steps": 3}
    training = made(["activations"], **changes)
    first = next(module for module in training.model.modules() if isinstance(module, nn.Conv2d))
    with torch.no_grad():
        first.bias[:4] = -1e3
    shares = {n: float(v) for n, v in (next(iter(train(training))).metrics or {}).items() if n.startswith("dead")}
    assert list(shares.values()) == [pytest.approx(4 / 6)]


def test_a_saturated_softmax_is_one_that_is_sure_of_a_row() -> None:
    (place,) = [each for each in measured_modules(nn.Sequential(nn.Linear(2, 3), nn.Softmax(-1))) if each.softmax]
    sums = Sums()
    sums.add(place, torch.tensor([[0.995, 0.005, 0.0], [0.4, 0.3, 0.3]]))
    sums.add(place, torch.tensor([[0.0, 0.992, 0.008], [0.98, 0.01, 0.01]]))
    assert float(dict(sums.readings("1"))["saturated_share/1"]) == 0.5


def test_a_module_called_twice_is_measured_once_and_no_hook_stays() -> None:
    training = made(["activations"], model={"kind": "sum_of_units", "unit": "relu", "units": 5})
    inside = training.model.unit
    training.model.unit = nn.Sequential(inside, inside)
    watcher = Activations(training.spec.probes[0])
    watcher.begin(training)
    watcher.before_forward(training, 1)
    training.model(training.batches.batch(1)[0])
    watcher.remove_hooks()
    assert watcher._sums["unit.0"].n == 16 * 5
    assert all(not module._forward_hooks and not module._forward_pre_hooks for module in training.model.modules())


def test_a_deep_model_shows_its_first_its_last_and_evenly_spread_evenly_layers() -> None:
    assert spread_evenly(5) == [0, 1, 2, 3, 4]
    many = spread_evenly(1000)
    assert (len(many), many[0], many[-1]) == (48, 0, 999)


def start_of(**changes: Any) -> dict[str, Any]:
    training = made(["start"], None, **changes)
    next(iter(train(training)))
    (told,) = training.probes.readings
    assert (told.step, told.kind) == (0, "start")
    return dict(told.data)


def test_the_start_of_a_classification_is_beside_its_prior_and_ln_c() -> None:
    found = start_of(dataset={"kind": "wine", "scaling": "none"})
    training = made([], dataset={"kind": "wine", "scaling": "none"})
    x, y = training.batches.x, training.batches.y
    with torch.no_grad():
        logits = training.model(x).double().numpy()
    of_right = logits[np.arange(len(y)), y.numpy()]
    assert found["initial_loss"] == pytest.approx(np.mean(np.log(np.exp(logits).sum(1)) - of_right), rel=1e-4)
    shares = np.bincount(y.numpy()) / len(y)
    assert found["trivial"] == "class prior"
    assert found["trivial_loss"] == pytest.approx(-(shares * np.log(shares)).sum(), rel=1e-4)
    assert found["uniform_loss"] == pytest.approx(math.log(3))
    spread = x.double().numpy().std(0)
    assert found["feature_std_ratio"] == pytest.approx(spread.max() / spread.min(), rel=1e-3)
    assert found["largest_class_share"] == pytest.approx(shares.max())
    assert (found["rows"], found["constant_features"], found["duplicate_rows"]) == (len(x), 0, 0)


@pytest.mark.parametrize(
    ("loss", "name", "best"),
    [
        ("mse", "mean", lambda y: np.mean((y - y.mean()) ** 2)),
        ("mae", "median", lambda y: np.mean(np.abs(y - np.median(y)))),
        ("huber", "best constant", lambda y: min(np.mean(huber(y - c)) for c in np.linspace(y.min(), y.max(), 4001))),
    ],
)
def test_the_start_of_a_regression_is_beside_its_best_constant(
    loss: str, name: str, best: Callable[[Array], float]
) -> None:
    dataset = {"kind": "diabetes", "target_scaling": "standardise"}
    found = start_of(dataset=dataset, loss={"kind": loss})
    y = made([], dataset=dataset, loss={"kind": loss}).batches.y.double().numpy().ravel()
    assert (found["trivial"], found["classes"], found["uniform_loss"]) == (name, None, None)
    assert found["trivial_loss"] == pytest.approx(best(y), rel=1e-3)
    assert found["target_variance"] == pytest.approx(y.var(), rel=1e-5)


def huber(error: Array) -> Array:
    return np.where(np.abs(error) <= 1, error**2 / 2, np.abs(error) - 0.5)


def test_an_even_number_of_rows_has_the_medians_loss() -> None:
    assert best_constant(nn.L1Loss(), torch.zeros(4, 1), torch.tensor([[0.0], [1.0], [5.0], [9.0]]))[1] == 13 / 4


def test_odd_data_are_told() -> None:
    x = torch.tensor([[1.0, 2.0, 7.0], [1.0, 2.0, 7.0], [3.0, 5.0, 7.0], [1.0, 2.0, 7.0], [math.nan, 9.0, 7.0]])
    found = feature_statistics(x, torch.tensor([0, 1, 0, 0, 0]))
    assert found["constant_features"] == 1
    assert (found["duplicate_rows"], found["contradicting_rows"]) == (2, 3)
    assert (found["nonfinite_features"], found["features"]) == (1, 3)


def test_an_objective_has_a_start_and_a_resumed_run_has_none() -> None:
    found = start_of(
        dataset={"kind": "none"}, model={"kind": "rosenbrock"}, loss={"kind": "objective"}, batch_size="full"
    )
    assert found.keys() == {"rows", "initial_loss"}
    training = made(["start"], None)
    training.step = 3
    next(iter(train(training)))
    assert training.probes.readings == []


def test_the_gap_of_batch_normalisation_is_between_its_two_modes_on_one_batch() -> None:
    changes: dict[str, Any] = {"model": {"kind": "mlp", "hidden": [8], "norm": "batch", "dropout": 0.5}}
    changes |= {"evaluate": {"every_steps": 4}, "batch_size": 30}
    seen = watched(["norm_modes"], **changes)
    assert [step for step in seen if "bn_gap" in seen[step]] == [4, 8, 12]
    training = made([], **changes)
    steps = train(training)
    for _ in range(4):
        next(steps)
    x, y = training.batches.batch(4)
    losses = []
    for own in (False, True):
        twin = copy.deepcopy(training.model).eval()
        if not own:
            twin.layers[1].running_mean, twin.layers[1].running_var = None, None
        with torch.no_grad():
            losses.append(float(training.criterion(twin(x), y)))
    assert seen[4]["bn_gap"] == pytest.approx(losses[0] / losses[1], rel=1e-5)
    assert not any("bn_gap" in each for each in watched(["norm_modes"]).values())


def test_weights_are_the_numbers_after_each_update_and_their_projections() -> None:
    probe = {"kind": "weights", "name": "layers.2.*", "projections": 2, "every_steps": 5}
    training = prepare(Experiment.model_validate_json(json.dumps(PLAIN | {"probes": [probe]})), 0, CPU)
    n = sum(p.numel() for p in training.model.parameters())
    directions = [torch.randn(n, generator=torch.Generator().manual_seed(at), dtype=torch.float64) for at in range(2)]
    seen = []
    for step in train(training):
        found = {name: float(value) for name, value in (step.metrics or {}).items()}
        if step.step not in (5, 10, 12):
            assert not any(name.startswith(("weight/", "projection/")) for name in found)
            continue
        seen.append(step.step)
        matrix, bias = (training.model.get_parameter(f"layers.2.{name}") for name in ("weight", "bias"))
        assert found["weight/layers.2.weight/8"] == matrix[1, 1].item()
        assert [found[f"weight/layers.2.bias/{at}"] for at in range(3)] == bias.tolist()
        assert sum(name.startswith("weight/") for name in found) == 3 * 7 + 3
        every = torch.cat([p.detach().double().flatten() for p in training.model.parameters()])
        for at, direction in enumerate(directions):
            assert found[f"projection/{at}"] == pytest.approx(float(every @ direction / direction.norm()), abs=1e-5)
    assert seen == [5, 10, 12]


def test_recorded_weights_change_no_step() -> None:
    plain = [step.loss.item() for step in train(made([]))]
    assert (
        [step.loss.item() for step in train(made(["weights"], model={"kind": "linear"}))]
        == [step.loss.item() for step in train(made([], model={"kind": "linear"}))]
        != plain
    )
