"""Samplers: points lie in the space, are replayable, and those that learn find what is better."""

import json
import math
import random
import statistics
import subprocess
import sys
from collections.abc import Mapping
from typing import Any, get_args

import pytest

from service.spec.studies import StudySampler
from service.spec.studies.space import locate
from service.studies import suggest
from service.studies.suggest.grid import grid_size
from service.studies.trial import Trial, TrialState
from tests.studies.examples import DUEL, PLAIN, SPACES, make_study, run_study

KINDS = [member.model_fields["kind"].default for member in get_args(get_args(StudySampler)[0])]
LEARNING = [kind for kind in KINDS if kind not in ("grid", "random", "sobol")]


def bowl(point: Mapping[str, Any]) -> float:
    """Smallest at a rate of 0.01 and a width of 40."""
    rate = math.log10(point.get("/optimizer/lr", 1e-2) / 1e-2)
    decay = point.get("/optimizer/weight_decay", 0.03) - 0.03
    return rate**2 + (10 * decay) ** 2 + math.log(point["/model/hidden/0"] / 40) ** 2


@pytest.mark.parametrize("name", SPACES)
@pytest.mark.parametrize("kind", KINDS)
def test_every_point_lies_in_the_space(kind: str, name: str) -> None:
    study = make_study(SPACES[name], sampler=kind)
    for trial in run_study(study, 30, bowl):
        assert locate(study.space, trial.point) is not None, trial.point


@pytest.mark.parametrize("name", SPACES)
@pytest.mark.parametrize("kind", KINDS)
def test_an_answer_depends_on_nothing_that_is_kept_and_on_no_order(kind: str, name: str) -> None:
    study = make_study(SPACES[name], sampler=kind, seed=3)
    trials: list[Trial] = []
    states = [TrialState.FINISHED, TrialState.PRUNED, TrialState.RUNNING, TrialState.FAILED, TrialState.WAITING]
    generator = random.Random(1)
    for number in range(36):
        point = suggest.ask(study, trials, number)
        assert suggest.ask(study, generator.sample(trials, len(trials)), number, keep=False) == point
        value = None if number % 7 == 3 else bowl(point)
        state = states[0] if number < 12 else states[number % 5]
        rungs = (value, value) if state in (TrialState.PRUNED, TrialState.WAITING) else ()
        trials.append(Trial(number, point, state, rungs, value if state == TrialState.FINISHED else None))
        at = generator.randrange(len(trials))  # an earlier one ends differently meanwhile
        if trials[at].state == TrialState.RUNNING:
            trials[at] = Trial(at, trials[at].point, TrialState.FINISHED, value=bowl(trials[at].point))


@pytest.mark.parametrize("kind", KINDS)
def test_another_seed_gives_other_points(kind: str) -> None:
    one, other = (run_study(make_study(sampler=kind, seed=seed), 12, bowl) for seed in (0, 1))
    assert (one == other) == (kind == "grid")


@pytest.mark.parametrize("kind", LEARNING)
def test_a_sampler_that_learns_beats_random_points(kind: str) -> None:
    def median_of_last(sampler: str) -> float:
        runs = [run_study(make_study(sampler=sampler, seed=seed), 50, bowl) for seed in range(2)]
        return statistics.median(trial.value or 0 for trials in runs for trial in trials[30:])

    assert median_of_last(kind) < 0.25 * median_of_last("random")


@pytest.mark.parametrize("kind", LEARNING)
def test_maximising_mirrors_minimising(kind: str) -> None:
    low = run_study(make_study(sampler=kind), 25, bowl)
    high = run_study(make_study(sampler=kind, objective={"series": "val/accuracy"}), 25, lambda point: -bowl(point))
    assert [trial.point for trial in high] == [trial.point for trial in low]


@pytest.mark.parametrize("kind", LEARNING)
def test_diverged_trials_drive_points_away(kind: str) -> None:
    def diverges_above(point: Mapping[str, Any]) -> float | None:
        return None if point["/optimizer/lr"] > 0.03 else bowl(point)

    trials = run_study(make_study(sampler=kind), 60, diverges_above)
    assert sum(trial.value is None for trial in trials[30:]) <= 6


def test_a_grid_tries_each_combination_once_and_ends() -> None:
    study = make_study(
        PLAIN | {"/model/hidden/0": {"kind": "int", "low": 8, "high": 12, "step": 2}},
        sampler={"kind": "grid", "points": 2},
    )
    points = [trial.point for trial in run_study(study, 100, lambda _: 1.0)]
    assert len({json.dumps(point) for point in points}) == len(points) == 2 * 2 * 3 * 3 == grid_size(study.space, 2)
    assert {point["/optimizer/lr"] for point in points} == {1e-4, 1.0}
    assert {point["/model/hidden/0"] for point in points} == {8, 10, 12}


def test_a_grid_goes_through_the_dimensions_of_options() -> None:
    width = {"kind": "int", "low": 8, "high": 128, "step": 24}
    study = make_study(SPACES["conditional"] | {"/model/hidden/0": width}, sampler={"kind": "grid", "points": 3})
    trials = run_study(study, 500, lambda _: 1.0)
    assert len(trials) == grid_size(study.space, 3) == (3 * 3 + 3) * 6


def test_a_sobol_sequence_has_one_point_in_every_interval() -> None:
    study = make_study({"/optimizer/lr": PLAIN["/optimizer/lr"]}, sampler="sobol")
    units = [
        study.space["/optimizer/lr"].unit(t.point["/optimizer/lr"]) or 0 for t in run_study(study, 64, lambda _: 1)
    ]
    assert sorted(int(unit * 64) for unit in units) == list(range(64))


@pytest.mark.parametrize("kind", KINDS)
def test_each_scientific_value_gets_the_same_number_of_trials(kind: str) -> None:
    study = make_study(DUEL, sampler=kind)
    trials = run_study(study, 21, bowl)
    counts = [sum(trial.point["/optimizer"] == value for trial in trials) for value in ("sgd", {"kind": "adam"})]
    assert sorted(counts) == [10, 11]


def test_a_failed_trial_uses_nothing_of_its_values_budget() -> None:
    study = make_study(DUEL, sampler="random")
    first = suggest.ask(study, [], 0)
    assert first is not None
    again = suggest.ask(study, [Trial(0, first, TrialState.FAILED)], 1)
    assert again is not None
    assert again["/optimizer"] == first["/optimizer"]


def test_a_trial_by_hand_outside_the_space_changes_nothing() -> None:
    study = make_study(sampler="tpe")
    trials = run_study(study, 20, bowl)
    outside = Trial(99, {"/optimizer/lr": 7.0}, TrialState.FINISHED, value=-5.0)
    assert suggest.ask(study, [*trials, outside], 20) == suggest.ask(study, trials, 20)


def test_a_trial_by_hand_inside_the_space_counts() -> None:
    study = make_study(sampler="tpe")
    trials = run_study(study, 20, bowl)
    best = {"/optimizer/lr": 1.0, "/optimizer/weight_decay": 0.1, "/model/hidden/0": 128, "/batch_size": 16}
    by_hand = [Trial(at, best, TrialState.FINISHED, value=-5.0) for at in range(20, 26)]
    point = suggest.ask(study, [*trials, *by_hand], 26)
    assert point is not None
    assert point["/optimizer/lr"] > 0.3


def test_open_trials_are_not_asked_again() -> None:
    """With the constant liar, eight trials at once differ."""
    study = make_study({"/optimizer/lr": PLAIN["/optimizer/lr"]}, sampler="tpe")
    trials = run_study(study, 30, lambda point: math.log10(point["/optimizer/lr"] / 1e-2) ** 2)
    for number in range(30, 38):
        point = suggest.ask(study, trials, number)
        assert point is not None
        trials.append(Trial(number, point, TrialState.RUNNING))
    rates = sorted(math.log10(trial.point["/optimizer/lr"]) for trial in trials[30:])
    assert rates[-1] - rates[0] > 0.3


@pytest.mark.parametrize("kind", LEARNING)
def test_trials_that_wait_at_a_rung_are_learned_from(kind: str) -> None:
    """Halving keeps most trials waiting until the last is asked."""

    def median_of_last(state: TrialState) -> float:
        trials: list[Trial] = []
        for number in range(50):
            point = suggest.ask(make_study(sampler=kind), trials, number)
            assert point is not None
            rungs = (None, bowl(point)) if state == TrialState.WAITING else ()
            trials.append(Trial(number, point, state, rungs))
        return statistics.median(bowl(trial.point) for trial in trials[30:])

    assert median_of_last(TrialState.WAITING) < 0.25 * median_of_last(TrialState.RUNNING)


@pytest.mark.parametrize("kind", KINDS)
def test_no_sampler_loads_torch(kind: str) -> None:
    code = f"""
import sys
from tests.studies.examples import make_study, run_study
from service.spec.studies import study
assert not any(name.split(".")[0] in ("optuna", "scipy") for name in sys.modules), "loaded before any study asks"
run_study(make_study(sampler={kind!r}), 14, lambda point: point["/optimizer/lr"])
print([name for name in ("torch", "sklearn", "pandas", "matplotlib", "sqlalchemy") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert done.stderr == ""
