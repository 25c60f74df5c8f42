"""Optimizers: first steps known by hand, our own ones against their formulas, and those that need more of the loop."""

import math
from typing import Any, get_args

import pytest
import torch
from pydantic import TypeAdapter
from torch import nn

from service.errors import RunFailure
from service.spec import optimizers
from service.spec.optimizers import adam, adaptive
from service.spec.optimizers.gradient import ASGD
from worker.trainer.build import build, optimizer_policies, resolve
from worker.trainer.environment import optimizer_policy
from worker.trainer.loop import prepare, train
from worker.trainer.optim.adabound import rate_bounds
from worker.trainer.optim.adafactor import Adafactor

CPU = torch.device("cpu")
MEMBERS = get_args(get_args(optimizers.Optimizer)[0])
FIRST = {  # the first update of p = 1 under the gradient 1, at the defaults, weight decay aside
    "sgd": -1e-3,
    "adagrad": -0.01,
    "rmsprop": -0.1,
    "adadelta": -3.162262e-3,
    "adam": -1e-3,
    "adamw": -1e-3,
    "adamax": -2e-3,
    "nadam": -2.112904e-3,
    "radam": -1e-3,
    "rprop": -0.01,
    "adafactor": -0.01,
    "lecture_adagrad": -0.01,
    "lecture_rmsprop": -0.01,
    "lion": -1e-4,
}


def stepped(document: dict[str, Any], gradients: list[float], start: float = 1.0) -> list[float]:
    """The weight after each gradient."""
    p = nn.Parameter(torch.tensor([start], dtype=torch.float64))
    optimizer, seen = made(document, p), []
    for gradient in gradients:
        p.grad = torch.full_like(p, gradient)
        optimizer.step()
        seen.append(p.item())
    return seen


def made(document: dict[str, Any], p: nn.Parameter) -> Any:
    component = component_of(document)
    return build(component, [p], **optimizer_policy(component, CPU))


def component_of(document: dict[str, Any]) -> Any:
    return TypeAdapter(optimizers.Optimizer).validate_python(document)


@pytest.mark.parametrize("kind", FIRST)
def test_the_first_step_is_the_one_computed_by_hand(kind: str) -> None:
    own = {"weight_decay": 0.0} if kind == "adamw" else {}
    (after,) = stepped({"kind": kind} | own, [1.0])
    assert after - 1 == pytest.approx(FIRST[kind], rel=2e-5)


def test_asgds_first_step_is_the_rate_after_a_shrink_of_its_own() -> None:
    (after,) = stepped({"kind": "asgd"}, [1.0])
    assert after == pytest.approx((1 - 1e-4 * 0.01) - 0.01, rel=1e-9)


def test_radam_divides_by_the_second_moment_from_the_sixth_update_on() -> None:
    seen = stepped({"kind": "radam"}, [1.0] * 6)
    steps = [after - before for before, after in zip([1.0, *seen], seen, strict=False)]
    assert steps[:5] == pytest.approx([-1e-3] * 5, rel=1e-6)
    assert steps[5] == pytest.approx(-2.582e-5, rel=1e-3)


def test_rprop_grows_by_a_fifth_and_adafactors_rate_is_relative() -> None:
    seen = stepped({"kind": "rprop"}, [1.0] * 4)
    steps = [before - after for before, after in zip([1.0, *seen], seen, strict=False)]
    assert steps == pytest.approx([0.01 * 1.2**k for k in range(4)])
    assert stepped({"kind": "adafactor"}, [1.0], start=0.0) == pytest.approx([-1e-5], rel=1e-4)


def test_the_lectures_adagrad_divides_by_the_mean_and_torchs_by_the_sum() -> None:
    gradients = [3.0, -4.0, 0.5]
    ours, torchs = stepped({"kind": "lecture_adagrad"}, gradients), stepped({"kind": "adagrad"}, gradients)
    expected, p = [], 1.0
    for t, g in enumerate(gradients, 1):
        p -= 0.01 * g / math.sqrt(sum(x * x for x in gradients[:t]) / t)
        expected.append(p)
    assert ours == pytest.approx(expected, rel=1e-12)
    constant = stepped({"kind": "lecture_adagrad"}, [2.0] * 5)
    assert [1 - p for p in constant] == pytest.approx([0.01 * k for k in range(1, 6)], rel=1e-12)
    assert torchs[1] != pytest.approx(ours[1], rel=1e-6)


def test_the_lectures_rmsprop_starts_at_the_first_gradients_size() -> None:
    gradients = [3.0, -4.0, 0.5]
    expected, p, square = [], 1.0, 0.0
    for t, g in enumerate(gradients):
        square = g * g if t == 0 else 0.9 * square + 0.1 * g * g
        p -= 0.01 * g / math.sqrt(square)
        expected.append(p)
    assert stepped({"kind": "lecture_rmsprop", "alpha": 0.9}, gradients) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("kind", ["lecture_adagrad", "lecture_rmsprop"])
def test_a_gradient_of_nothing_is_a_step_of_nothing(kind: str) -> None:
    assert stepped({"kind": kind}, [0.0, 0.0]) == [1.0, 1.0]


@pytest.mark.parametrize(("t", "low", "high"), [(1, 9.990e-5, 100.1), (1000, 0.05, 0.2), (10**6, 0.0999, 0.1001)])
def test_adabounds_bounds_are_the_papers(t: int, low: float, high: float) -> None:
    assert rate_bounds(t, 0.1, 1e-3) == pytest.approx((low, high), rel=1e-4)


@pytest.mark.parametrize("largest", [False, True])
def test_adabound_is_its_formula_and_follows_a_schedule_with_both_bounds(largest: bool) -> None:
    gradients, rates = [3.0, -4.0, 0.5, 1e-6, 2.0], [1e-3, 1e-3, 5e-4, 1e-4, 1e-4]
    p = nn.Parameter(torch.tensor([1.0], dtype=torch.float64))
    optimizer = made({"kind": "adabound", "gamma": 0.5, "amsbound": largest, "weight_decay": 0.01}, p)
    expected, m, v, most = 1.0, 0.0, 0.0, 0.0
    for t, (g, lr) in enumerate(zip(gradients, rates, strict=True), 1):
        p.grad = torch.full_like(p, g)
        optimizer.param_groups[0]["lr"] = lr
        optimizer.step()
        g += 0.01 * expected
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        most = max(most, v)
        rate = lr * math.sqrt(1 - 0.999**t) / (1 - 0.9**t) / (math.sqrt(most if largest else v) + 1e-8)
        final = 0.1 * lr / 1e-3
        expected -= min(max(rate, final * (1 - 1 / (0.5 * t + 1))), final * (1 + 1 / (0.5 * t))) * m
        assert p.item() == pytest.approx(expected, rel=1e-12)


def test_with_wide_bounds_adabound_is_adam_nearly() -> None:
    wide = stepped({"kind": "adabound", "gamma": 1e-9, "final_lr": 1.0}, [1.0, 2.0, -3.0])
    assert wide == pytest.approx(stepped({"kind": "adam"}, [1.0, 2.0, -3.0]), rel=1e-6)


@pytest.mark.parametrize("member", MEMBERS)
def test_every_field_of_an_optimizer_is_kept_in_its_groups(member: Any) -> None:
    needed = {"name": "lion", "settings": {"weight_decay": 0.5}} if "settings" in member.model_fields else {}
    component = member(**needed)
    optimizer = build(component, [nn.Parameter(torch.zeros(2, 2))], **optimizer_policy(component, CPU))
    (group,) = optimizer.param_groups
    wanted = {name: value for name, value in component.group().items() if (name, value) != ("max_eval", None)}
    assert {name: group[name] for name in wanted} == wanted


@pytest.mark.parametrize("search", [None, "strong_wolfe"])
@pytest.mark.parametrize("clip", [None, {"norm": 0.5}])
def test_lbfgs_is_torchs_with_a_closure_written_by_hand(search: Any, clip: Any, experiment: Any) -> None:
    optimizer = {"kind": "lbfgs", "lr": 0.5, "line_search_fn": search, "max_iter": 5}
    spec = experiment(
        optimizer=optimizer, batch_size="full", steps=6, clip=clip, dataset={"kind": "iris", "validation": 0}
    )
    training = prepare(spec, 0, CPU)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
    theirs = torch.optim.LBFGS(model.parameters(), lr=0.5, max_iter=5, line_search_fn=search)
    evaluations = 0
    for step in train(training):
        x, y = training.batches.batch(step.step)

        def closure() -> Any:
            nonlocal evaluations
            evaluations += 1
            theirs.zero_grad()
            loss = nn.functional.cross_entropy(model(x), y)  # noqa: B023
            loss.backward()
            if clip:
                nn.utils.clip_grad_norm_(model.parameters(), 0.5)
            return loss

        assert step.loss.item() == theirs.step(closure).item()
        readings = step.metrics or {}
        assert readings["gradient_evaluations"] == evaluations
        assert readings["gradient_evaluations"] == theirs.state_dict()["state"][0]["func_evals"]
        assert ("grad_norm" in readings) == bool(clip)
        assert float(readings.get("clipped_share", 0)) <= 1
    assert evaluations > 6


def test_an_update_that_searches_is_clipped_once(experiment: Any) -> None:
    spec = experiment(optimizer={"kind": "lbfgs"}, batch_size="full", steps=3, clip={"norm": 1e-3})
    last = list(train(prepare(spec, 0, CPU)))[-1].metrics or {}
    assert last["gradient_evaluations"] > 3
    assert float(last["clipped_share"]) == 1


def rosenbrock(p: Any) -> Any:
    return (1 - p[0]) ** 2 + 100 * (p[1] - p[0] ** 2) ** 2


def test_lbfgs_finds_rosenbrocks_minimum() -> None:
    p = nn.Parameter(torch.tensor([-1.2, 1.0], dtype=torch.float64))
    optimizer = made({"kind": "lbfgs", "line_search_fn": "strong_wolfe", "max_iter": 100, "tolerance_change": 0.0}, p)

    def closure() -> Any:
        optimizer.zero_grad()
        loss = rosenbrock(p)
        loss.backward()
        return loss

    optimizer.step(closure)
    assert p.tolist() == pytest.approx([1.0, 1.0], abs=1e-6)


@pytest.mark.parametrize("kind", ["schedule_free_sgd", "schedule_free_adamw", "schedule_free_radam"])
def test_validation_sees_the_averaged_weights_and_training_keeps_its_own(kind: str, experiment: Any) -> None:
    make = {"optimizer": {"kind": kind, "lr": 0.05}, "steps": 30}
    training = prepare(experiment(**make, evaluate={"every_steps": 30}), 0, CPU)
    steps = list(train(training))
    (optimizer,) = training.optimizers
    assert optimizer.param_groups[0]["train_mode"]
    optimizer.eval()  # type: ignore[attr-defined]
    assert training.validation is not None
    expected = training.validation.measure(training.model, training.criterion)
    assert float((steps[-1].metrics or {})["val/loss"]) == float(expected["val/loss"])
    optimizer.train()  # type: ignore[attr-defined]
    assert float(training.validation.measure(training.model, training.criterion)["val/loss"]) != float(
        expected["val/loss"]
    )
    often = [s.loss.item() for s in train(prepare(experiment(**make, evaluate={"every_steps": 1}), 0, CPU))]
    assert often == [s.loss.item() for s in steps]


LIBRARY = get_args(optimizers.PytorchOptimizer.model_fields["name"].annotation)


@pytest.mark.parametrize("name", LIBRARY)
def test_every_name_of_the_library_trains_and_its_state_can_be_kept(name: str, experiment: Any) -> None:
    lr = 1.0 if name == "prodigy" else 1e-3
    spec = experiment(optimizer={"kind": "pytorch_optimizer", "name": name, "lr": lr}, steps=5)
    losses = [step.loss for step in train(prepare(spec, 0, CPU))]
    assert all(torch.isfinite(loss) for loss in losses)
    assert len({float(loss) for loss in losses}) == 5


def test_every_optimizer_of_torch_is_a_kind() -> None:
    base = torch.optim.Optimizer
    theirs = {each for each in vars(torch.optim).values() if isinstance(each, type) and issubclass(each, base)}
    ours = {each for member in MEMBERS if isinstance(made := resolve(member.target), type) for each in made.__mro__}
    assert theirs == {each for each in ours if each.__module__.startswith("torch.optim")}


def test_settings_the_library_does_not_know_fail_the_building(experiment: Any) -> None:
    optimizer = {"kind": "pytorch_optimizer", "name": "lion", "settings": {"lookbehind": 3}}
    with pytest.raises(RunFailure, match="has no lookbehind; it has betas, weight_decay"):
        prepare(experiment(optimizer=optimizer), 0, CPU)


def test_a_missing_package_is_named(experiment: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(optimizers.ScheduleFreeSGD, "target", "nowhere_to_be_found:SGD")
    with pytest.raises(RunFailure, match="nowhere_to_be_found") as caught:
        prepare(experiment(optimizer={"kind": "schedule_free_sgd"}), 0, CPU)
    assert caught.value.kind == "spec_cannot_build"


def test_sparse_adam_steps_only_the_rows_that_were_looked_up() -> None:
    torch.manual_seed(0)
    table = nn.Embedding(6, 3, sparse=True)
    optimizer = made({"kind": "sparse_adam", "lr": 0.1}, table.weight)  # type: ignore[arg-type]
    before = table.weight.detach().clone()
    table(torch.tensor([1, 4])).sum().backward()
    optimizer.step()
    moved = (table.weight.detach() != before).any(1)
    assert moved.tolist() == [False, True, False, False, True, False]


def test_the_policy_names_each_optimizers_switches_and_none_where_there_are_none(experiment: Any) -> None:
    rule = {"match": {"dim": 2}, "optimizer": {"kind": "muon"}}
    spec = experiment(optimizer={"kind": "adamw"}, groups=(rule,))
    model = prepare(spec, 0, CPU).model
    assert optimizer_policies(spec, model, CPU) == {"fused": True, "groups/0": {}}


def test_no_fused_update_is_chosen_for_sparse_gradients_which_torch_has_none_for() -> None:
    """On a GPU; on the CPU neither optimizer is fused."""
    device = torch.device("cuda", 0)
    for component in (optimizers.SGD(), adaptive.Adagrad()):
        assert optimizer_policy(component, device) == {"fused": True}
        assert optimizer_policy(component, device, sparse=True) == {"foreach": True}
    assert optimizer_policy(optimizers.AdamW(), device, sparse=True) == {"fused": True}  # it has no sparse parameter


def test_counters_stay_where_they_are_needed() -> None:
    device = torch.device("cuda", 0)
    for component in (ASGD(), adam.NAdam()):
        assert optimizer_policy(component, device) == {"foreach": True, "capturable": True}
        assert optimizer_policy(component, CPU) == {"foreach": False}


@pytest.mark.parametrize("changes", [{}, {"eps": (1e-20, 1e-2), "weight_decay": 0.1, "d": 1.5}])
def test_adafactor_on_a_device_is_torchs_but_for_rounding(changes: dict[str, Any]) -> None:
    torch.manual_seed(0)
    component = adaptive.Adafactor(**changes)
    theirs = [nn.Parameter(torch.randn(shape)) for shape in ((4, 3), (5,), (2, 3, 2))]
    ours = [nn.Parameter(p.detach().clone()) for p in theirs]
    torchs, own = torch.optim.Adafactor(theirs, **component.kwargs()), Adafactor(ours, **component.kwargs())
    for _ in range(30):
        for p, q in zip(theirs, ours, strict=True):
            p.grad = torch.randn_like(p)
            q.grad = p.grad.clone()
        torchs.step()
        with torch.no_grad():
            own.update_on_device()
    for p, q in zip(theirs, ours, strict=True):
        torch.testing.assert_close(q, p, rtol=1e-5, atol=1e-6)
        assert torchs.state[p].keys() == own.state[q].keys()  # a checkpoint fits either


OTHER_PARAMETERS = {"muon", "sparse_adam"}  # for matrices, and for sparse gradients
KINDS = {member.model_fields["kind"].default for member in MEMBERS}


@pytest.mark.parametrize("kind", sorted(KINDS - OTHER_PARAMETERS - {"rprop"}))
def test_a_rate_of_0_leaves_the_weights_as_they_are(kind: str, experiment: Any) -> None:
    required = {"name": "lamb"} if kind == "pytorch_optimizer" else {}
    spec = experiment(optimizer={"kind": kind, "lr": 0.0} | required, steps=3)
    assert spec.optimizer.lr == 0
    training = prepare(spec, 0, CPU)
    before = [p.detach().clone() for p in training.model.parameters()]
    losses = [step.loss.item() for step in train(training)]
    assert all(map(math.isfinite, losses))
    assert all(torch.equal(p, q) for p, q in zip(training.model.parameters(), before, strict=True))


def test_rprop_whose_steps_begin_at_the_rate_takes_none_of_0(experiment: Any) -> None:
    with pytest.raises(ValueError, match="greater than 0"):
        experiment(optimizer={"kind": "rprop", "lr": 0.0})
