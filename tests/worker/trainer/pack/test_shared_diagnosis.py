"""What is trained beside runs of a pack is trained once: for equal families, and for other seeds while time is left."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from service.spec.packs import pack_key
from tests.worker.conftest import Make
from worker.protocol import Ended, Reading, TrainRequest
from worker.trainer.loop import Training, prepare, train
from worker.trainer.pack.session import run_pack
from worker.trainer.probes.learnability.at_end import Took, learnability_at_end
from worker.trainer.probes.learnability.instrument import Learnability
from worker.trainer.probes.learnability.shared import (
    LEAST_S,
    MOST_S,
    Family,
    FreshWeights,
    Origin,
    Shared,
    family_of,
)
from worker.trainer.probes.learnability.trial import Trial
from worker.trainer.probes.runner import MAX_READING_BYTES

from .test_run_pack import CPU, Link, Links, alone, requests

SLOW = {"optimizer": {"kind": "sgd", "lr": 1e-5}}
BESIDE = ("constant", "other", "same", "control", "rates", "judged", "rows", "batch")
TOOK = Took(2.0, 4)


@pytest.fixture
def updates(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows with each update beside a run."""
    made: list[int] = []
    update = Trial._update

    def count(trial: Trial) -> None:
        made.append(trial.step)
        update(trial)

    monkeypatch.setattr(Trial, "_update", count)
    return made


def rates_of(folder: Path, experiment: Make, rates: list[float], seeds: list[int], **how: Any) -> list[TrainRequest]:
    changes = [{"optimizer": {"kind": "sgd", "lr": rate}, "steps": 200} for rate in rates]
    made = requests(folder, experiment, changes, **how)
    return [
        TrainRequest(**vars(each) | {"spec": each.spec | {"diagnose": "auto"}, "seed": seed, "run": f"r{at}"})
        for at, (each, seed) in enumerate(zip(made, seeds, strict=True))
    ]


def reading_of(link: Link) -> dict[str, Any]:
    (found,) = [each for each in link.of(Reading) if each.name == "learnability"]
    assert len(found.payload) < MAX_READING_BYTES / 8
    return dict(json.loads(found.payload))


def ended(experiment: Make, seed: int, **changes: Any) -> Training:
    training = prepare(experiment(**SLOW | changes), seed, CPU)
    for _ in train(training):
        pass
    return training


def at_end(training: Training, took: Took, shared: Shared, run: str, stopped: bool = False) -> dict[str, Any]:
    found = learnability_at_end(training, took, lambda: stopped, shared, run)
    assert found is not None
    return found[1]


def test_runs_that_differ_in_their_rate_share_what_each_has_alone(
    tmp_path: Path, experiment: Make, updates: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.trainer.probes.learnability.shared.LEAST_S", 60.0)  # enough, however busy
    rates = [1e-5, 2e-5, 3e-5]
    links = Links()
    run_pack(rates_of(tmp_path / "pack", experiment, rates, [0, 0, 0]), CPU, links)
    packed = len(updates)
    found = [reading_of(links[str(at)]) for at in range(3)]
    wanted = [reading_of(alone(each)) for each in rates_of(tmp_path / "alone", experiment, rates, [0, 0, 0])]
    assert len(updates) == 4 * packed
    for ours, theirs in zip(found, wanted, strict=True):
        assert {name: ours.get(name) for name in BESIDE} == {name: theirs.get(name) for name in BESIDE}
        assert ours["run"]["loss"] == pytest.approx(theirs["run"]["loss"], rel=1e-5)
    assert "measured_beside" not in found[0]
    assert found[1]["measured_beside"] == {"other": {"run": "r0"}, "same": {"run": "r0"}}
    assert [each["trained_steps"] for each in found[1:]] == [0, 0]
    assert found[1]["run"] != found[2]["run"]


def test_other_seeds_train_their_own_weights_while_time_is_left(experiment: Make) -> None:
    shared = Shared()
    first = at_end(ended(experiment, 0), TOOK, shared, "r0")
    second = at_end(ended(experiment, 1), TOOK, shared, "r1")
    assert second["measured_beside"] == {"other": {"run": "r0", "seed": 0}}
    assert second["other"] == first["other"]
    assert second["same"] != first["same"]
    assert 0 < second["trained_steps"] < first["trained_steps"]


def test_later_seeds_take_over_weights_once_the_time_is_spent(experiment: Make) -> None:
    shared = Shared()
    first = at_end(ended(experiment, 0), TOOK, shared, "r0")
    shared.spend(*shared.spent_s, 60.0)
    second = at_end(ended(experiment, 1), TOOK, shared, "r1")
    assert second["measured_beside"]["same"] == {"run": "r0", "seed": 0}
    assert second["same"] == first["same"]
    assert second["run"] != first["run"]
    assert second["trained_steps"] == 0
    assert second["seconds"] < 1
    assert second["asked"]["seconds"] == 0


@pytest.mark.parametrize(
    ("reached", "seed"),
    [(0.9, 0), (0.91, 0), (0.2, 3), (float("nan"), 0), (float("inf"), 0)],
)
def test_a_start_is_held_against_the_middle_of_those_that_ended_alike(reached: float, seed: int) -> None:
    pairs = [(0.9, 0.5), (0.95, 0.9), (0.92, 0.01), (0.2, 0.2), (0.25, 0.3), (0.3, 0.1)]  # run and fresh weights
    fresh = {at: FreshWeights(Origin("", at), *losses, {}, [], 0.0) for at, losses in enumerate(pairs)}
    family = Family(Origin("", 0), (torch.zeros(1), {}), None, fresh)
    assert family.instead(reached).origin.seed == seed


def test_a_run_that_learned_nothing_has_a_control_though_the_first_one_needed_none(experiment: Make) -> None:
    nothing = {"dataset": {"kind": "digits", "shuffled_targets": 1.0}, "model": {"kind": "mlp", "hidden": (8,)}}
    shared = Shared()
    first = at_end(ended(experiment, 0, **nothing), TOOK, shared, "r0")
    assert first["control"]["steps"] > 0
    (family,) = shared.families.values()
    family.fresh[0].control = None
    again = at_end(ended(experiment, 0, **nothing), TOOK, shared, "r1")
    assert again["control"] == first["control"]
    assert again["trained_steps"] == first["control"]["steps"]


def test_what_a_cancelled_run_broke_off_is_nobody_else_s(experiment: Make) -> None:
    shared = Shared()
    assert not at_end(ended(experiment, 0), TOOK, shared, "r0", stopped=True)["same"]["complete"]
    assert not shared.families
    second = at_end(ended(experiment, 0), TOOK, shared, "r1")
    assert second["same"]["complete"]
    assert "measured_beside" not in second


def test_a_first_run_that_fails_leaves_the_next_to_measure(experiment: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> Any:
        raise RuntimeError("out of memory")

    shared = Shared()
    with monkeypatch.context() as patch:
        patch.setattr("worker.trainer.probes.learnability.instrument.search_rate", fail)
        assert "error" in at_end(ended(experiment, 0), TOOK, shared, "r0")
    assert at_end(ended(experiment, 0), TOOK, shared, "r1")["same"]["complete"]


def test_no_trial_remains_where_there_is_neither_time_nor_a_sibling(experiment: Make) -> None:
    shared = Shared()
    training = ended(experiment, 0)
    shared.spend(family_of(training, Learnability.steps_of(training)), 60.0)
    assert learnability_at_end(training, TOOK, lambda: False, shared) is None


def test_all_runs_of_a_family_have_the_time_of_one_and_a_pack_that_of_eight() -> None:
    shared = Shared()
    assert shared.left_s("one", 20.0, 1) == LEAST_S
    assert shared.left_s("one", 300.0, 10) == LEAST_S
    assert shared.left_s("one", 100_000.0, 10) == MOST_S
    shared.spend("one", 4.0)
    assert shared.left_s("one", 20.0, 4) == 1.0
    assert shared.left_s("other", 20.0, 4) == LEAST_S
    shared.spend("another", 35.0)
    assert shared.left_s("other", 20.0, 4) == 1.0
    shared.spend("another", 35.0)
    assert shared.left_s("other", 20.0, 4) == 0.0


@pytest.mark.parametrize(
    ("changes", "same"),
    [
        ({"optimizer": {"kind": "adam", "lr": 0.1}}, True),
        ({"schedule": {"kind": "cosine"}}, True),
        ({"clip": {"norm": 0.1}}, True),
        ({"name": "other", "max_seconds": 1000.0, "seeds": (4,)}, True),
        ({"steps": 60}, False),
        ({"loss": {"kind": "cross_entropy", "label_smoothing": 0.1}}, False),
        ({"model": {"kind": "mlp", "hidden": (8,), "dropout": 0.1}}, False),
        ({"batch_size": 64}, False),
        ({"inits": ({"match": {"name": "*"}, "init": {"kind": "zeros"}},)}, False),
    ],
    ids=str,
)
def test_a_family_is_what_no_training_beside_reads(experiment: Make, changes: dict[str, Any], same: bool) -> None:
    plain, other = (prepare(experiment(**each), 0, torch.device("cpu")) for each in ({}, changes))
    keys = [family_of(each, Learnability.steps_of(each)) for each in (plain, other)]
    assert (keys[0] == keys[1]) is same


def test_a_cancelled_run_ends_while_others_are_diagnosed(tmp_path: Path, experiment: Make) -> None:
    links = Links({"1": Link(stop_at=5)})
    run_pack(rates_of(tmp_path, experiment, [1e-5] * 3, [0, 1, 2]), CPU, links)
    assert [links[str(at)].of(Ended)[0].outcome for at in range(3)] == ["succeeded", "cancelled", "succeeded"]
    assert not [each for each in links["1"].of(Reading) if each.name == "learnability"]
    assert reading_of(links["2"])["measured_beside"]["other"] == {"run": "r0", "seed": 0}


def test_a_run_that_ends_early_is_the_first_to_be_diagnosed(tmp_path: Path, experiment: Make) -> None:
    made = rates_of(tmp_path, experiment, [1e-5] * 3, [0, 1, 2])
    made[2] = TrainRequest(**vars(made[2]) | {"spec": made[2].spec | {"steps": 100}})
    assert pack_key(experiment(steps=30)) == pack_key(experiment())
    links = Links()
    run_pack(made, CPU, links)
    assert "measured_beside" not in reading_of(links["2"])  # another number of steps is another family
    assert reading_of(links["1"])["measured_beside"]["other"] == {"run": "r0", "seed": 0}
