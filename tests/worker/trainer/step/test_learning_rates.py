"""Schedules at work: what they set in the optimizer at each update, and a plateau against torch's in a plain loop."""

from typing import Any

import pytest
import torch

from service.spec.checks.experiment import find_problems, find_warnings
from service.spec.experiment import Experiment
from worker.trainer.loop import Training, prepare, train

CPU = torch.device("cpu")
PLATEAU: dict[str, Any] = {"kind": "plateau", "patience": 1, "threshold": 0.3, "factor": 0.5, "cooldown": 1}


def seen(spec: Experiment) -> tuple[Training, list[tuple[float, float | None]], list[float]]:
    """What each update had: rate and momentum; and the validation losses."""
    training = prepare(spec, 3, CPU)
    had, losses = [], []
    for step in train(training):
        group = training.optimizers[0].param_groups[0]
        had.append((step.lr, group["betas"][0] if "betas" in group else group.get("momentum")))
        assert group["lr"] == step.lr
        losses += [float(step.metrics["val/loss"])] if step.metrics else []
    return training, had, losses


def torchs(schedule: dict[str, Any], base: float, metrics: list[float]) -> list[float]:
    """The rate before each metric."""
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=base)
    arguments = {name: value for name, value in schedule.items() if name not in ("kind", "watch")}
    scheduler, rates = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, **arguments), []
    for metric in metrics:
        rates.append(float(optimizer.param_groups[0]["lr"]))
        scheduler.step(metric)
    return rates


def test_a_plateau_lowers_the_rate_as_torchs_does_after_each_evaluation(experiment: Any) -> None:
    _, had, losses = seen(experiment(schedule=PLATEAU, evaluate={"every_steps": 5}, steps=300))
    expected = torchs(PLATEAU, 0.1, losses)
    assert len(set(expected)) > 3
    assert [rate for rate, _ in had] == [rate for rate in expected for _ in range(5)]


def test_a_plateau_behind_a_warmup_hears_nothing_while_it_rises(experiment: Any) -> None:
    schedule = {"kind": "warmup", "steps": 20, "after": PLATEAU}
    _, had, losses = seen(experiment(schedule=schedule, evaluate={"every_steps": 5}, steps=300))
    rates = [rate for rate, _ in had]
    assert rates[:20] == [0.1 * ((s + 1) / 20) for s in range(20)]
    expected = torchs(PLATEAU, 0.1, losses[4:])
    assert len(set(expected)) > 3
    assert rates[20:] == [rate for rate in expected for _ in range(5)]


@pytest.mark.parametrize("optimizer", [{"kind": "sgd", "momentum": 0.5}, {"kind": "rmsprop"}, {"kind": "adamw"}])
def test_a_momentum_cycles_where_it_was_asked_for(optimizer: dict[str, Any], experiment: Any) -> None:
    schedule = {"kind": "one_cycle", "cycle_momentum": True}
    spec = experiment(optimizer=optimizer, schedule=schedule)
    training, had, _ = seen(spec)
    assert [momentum for _, momentum in had] == [spec.momentum(step) for step in range(1, 41)]
    assert min(momentum or 0 for _, momentum in had) == pytest.approx(0.85, abs=1e-3)
    if "betas" in training.optimizers[0].param_groups[0]:
        assert training.optimizers[0].param_groups[0]["betas"][1] == 0.999


def test_the_optimizers_own_momentum_comes_back_where_the_next_schedule_does_not_cycle_it(experiment: Any) -> None:
    parts = ({"kind": "one_cycle", "cycle_momentum": True}, {"kind": "constant"})
    schedule = {"kind": "sequential", "schedules": parts, "milestones": (30,)}
    for optimizer, own in (({"kind": "sgd", "momentum": 0.5}, 0.5), ({"kind": "adam"}, 0.9)):
        _, had, _ = seen(experiment(optimizer=optimizer, schedule=schedule))
        assert had[29][1] == 0.95
        assert {momentum for _, momentum in had[30:]} == {own}


def test_a_momentum_is_never_changed_unasked(experiment: Any) -> None:
    _, had, _ = seen(experiment(schedule={"kind": "one_cycle"}))
    assert {momentum for _, momentum in had} == {0}


def found(spec: Experiment) -> tuple[set[str], set[str]]:
    return {problem.pointer for problem in find_problems(spec)}, {odd.pointer for odd in find_warnings(spec)}


def test_what_a_schedule_needs_of_the_rest_is_checked(experiment: Any) -> None:
    cycling = {"kind": "one_cycle", "cycle_momentum": True}
    assert found(experiment(schedule=cycling, optimizer={"kind": "adam"})) == (set(), set())
    assert found(experiment(schedule=cycling)) == (set(), {"/optimizer/momentum"})
    behind = {"kind": "warmup", "steps": 3, "after": cycling}
    assert found(experiment(schedule=behind, optimizer={"kind": "adagrad"}))[0] == {"/schedule/after/cycle_momentum"}

    plateau = {"kind": "plateau", "patience": 2}
    often = {"every_steps": 5}
    assert found(experiment(schedule=plateau, evaluate=often)) == (set(), set())
    assert found(experiment(schedule=plateau, evaluate={"every_steps": 10})) == (set(), {"/schedule/patience"})
    blind = experiment(schedule=plateau, dataset={"kind": "iris", "validation": 0.0}, evaluate=often)
    assert found(blind)[0] == {"/schedule/watch"}
    accuracy = {"kind": "plateau", "patience": 2, "watch": "val/accuracy", "mode": "max"}
    diabetes = {"dataset": {"kind": "diabetes"}, "loss": {"kind": "mse"}}
    assert found(experiment(schedule=accuracy, evaluate=often)) == (set(), set())
    assert found(experiment(schedule=accuracy, evaluate=often, **diabetes))[0] == {"/schedule/watch"}


def test_a_schedule_counted_in_epochs_is_measured_in_epochs(experiment: Any) -> None:
    for steps, expected in ((4, set()), (5, {"/schedule/steps"})):
        spec = experiment(epochs=4, schedule={"kind": "warmup", "steps": steps}, schedule_unit="epoch")
        assert found(spec)[0] == expected
