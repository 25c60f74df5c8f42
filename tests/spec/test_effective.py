"""Effective settings, against the same numbers written out."""

import json
from typing import Any

import pytest

from service.spec.effective import effective_settings
from service.spec.parse.experiment import parse_experiment
from service.spec.parse.presets import presets

PLAIN: dict[str, Any] = {
    "dataset": {"kind": "iris"},
    "model": {"kind": "mlp", "hidden": [8]},
    "loss": {"kind": "cross_entropy"},
    "optimizer": {"kind": "sgd", "lr": 0.1},
    "batch_size": 50,
    "steps": 100,
}


def of(**changes: Any) -> dict[str, Any]:
    return effective_settings(parse_experiment(PLAIN | changes).spec)


def test_a_cycle_says_which_momentum_the_updates_really_have() -> None:
    cycled = of(schedule={"kind": "one_cycle", "max_lr": 1.0, "cycle_momentum": True})["momentum"]
    assert (cycled["own"], cycled["changed_by"]) == (0.0, "/schedule/cycle_momentum")
    assert (cycled["smallest"], cycled["largest"]) == pytest.approx((0.85, 0.95), abs=2e-3)
    assert of(optimizer={"kind": "sgd", "momentum": 0.9})["momentum"] == {"own": 0.9, "smallest": 0.9, "largest": 0.9}
    assert of(optimizer={"kind": "adagrad"})["momentum"] is None


def test_a_plateau_says_that_nobody_knows() -> None:
    found = of(schedule={"kind": "plateau"}, epochs=90, steps=None)["lr"]
    assert (found["last"], found["smallest"], found["first"]) == (None, None, 0.1)
    assert "val/loss" in found["unpredictable"]
    assert of(schedule={"kind": "cosine"})["lr"]["largest"] == 0.1


def test_memory_is_one_over_one_minus_the_factor() -> None:
    assert of(optimizer={"kind": "adam"})["memory"] == pytest.approx({"betas/0": 10, "betas/1": 1000})
    assert of(optimizer={"kind": "rmsprop", "momentum": 0.5})["memory"] == pytest.approx({"momentum": 2, "alpha": 100})
    assert of(optimizer={"kind": "asgd"})["memory"] == {}


def test_decay_is_told_by_what_it_does_to_a_step() -> None:
    assert of()["weight_decay"] is None
    decoupled = of(optimizer={"kind": "adamw", "lr": 0.01, "weight_decay": 0.1})["weight_decay"]
    assert (decoupled["form"], decoupled["per_step"], decoupled["steps_to_1/e"]) == ("decoupled", 1e-3, 1e3)
    l2 = of(optimizer={"kind": "sgd", "lr": 0.01, "momentum": 0.9, "weight_decay": 0.1})["weight_decay"]
    assert l2["form"] == "l2"
    assert "momentum" in l2["acts"]


def test_rows_and_averages_are_counted() -> None:
    assert of(accumulate=3)["rows"] == {"update": 50, "piece": 17, "last_update_of_epoch": 20}
    assert of(average={"kind": "swa", "start": 0.5})["average"] == {"first": 50, "every": 3, "taken": 17}
    assert of(average={"kind": "ema", "decay": 0.9})["average"]["memory"] == pytest.approx(10)


def test_it_is_json_for_every_preset() -> None:
    for spec in presets().values():
        said = effective_settings(spec)
        assert json.loads(json.dumps(said, allow_nan=False)).keys() == said.keys()
