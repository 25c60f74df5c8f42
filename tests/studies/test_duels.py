"""Duels: quantiles, sensitivity, profiles and borders of each scientific value, against a slow second version."""

import random
import statistics
from itertools import pairwise

import pytest

from service.spec.parse.json_patch import apply_patch
from service.spec.studies.parse import parse_study
from service.studies.duels import borders, even, fewest_steps, judge, profile, steps_to_reach, targets
from service.studies.trial import Trial, TrialState
from tests.studies.examples import DUEL, PLAIN, make_study, run_study

ADAM = {"kind": "adam"}


def duel_trials(study, count=20):
    points = [trial.point for trial in run_study(study, count, lambda _: 1.0)]
    generator = random.Random(0)
    return [
        Trial(at, point, TrialState.FINISHED, (), generator.random() + (point["/optimizer"] == "sgd"))
        for at, point in enumerate(points)
    ]


def test_each_value_is_judged_on_its_own_trials() -> None:
    study = make_study(DUEL, sampler="random")
    trials = duel_trials(study, 22)
    trials[1] = Trial(1, trials[1].point, TrialState.FINISHED, (), None)
    trials[3] = Trial(3, trials[3].point, TrialState.PRUNED, (9.0, 3.0))
    trials += [Trial(22, trials[0].point, TrialState.RUNNING), Trial(23, trials[0].point, TrialState.FAILED)]
    sgd, adam = judge(study, trials)
    assert [sgd.values, adam.values] == [{"/optimizer": "sgd"}, {"/optimizer": ADAM}]
    assert (sgd.trials, adam.trials, adam.finished, adam.diverged) == (11, 11, 9, 1)
    values = sorted(trial.value for trial in trials if trial.value is not None and trial.point["/optimizer"] == "sgd")
    assert sgd.best is not None
    assert sgd.best.value == values[0]
    assert sgd.median == pytest.approx(statistics.median(values))
    lower, _, upper = statistics.quantiles(values, n=4, method="inclusive")
    assert sgd.quartiles == pytest.approx((lower, upper))
    assert sgd.sensitivity == pytest.approx(statistics.median(values) - values[0])
    assert even([sgd, adam])


def test_a_value_whose_median_trial_diverges_has_no_median() -> None:
    study = make_study(DUEL, sampler="random")
    trials = duel_trials(study)
    lost = [Trial(t.number, t.point, t.state, (), None if t.number < 14 else t.value) for t in trials]
    sgd, _ = judge(study, lost)
    assert (sgd.median, sgd.sensitivity, sgd.quartiles[1]) == (None, None, None)
    assert sgd.best is not None


def test_quantiles_are_from_best_to_worst_where_higher_is_better() -> None:
    study = make_study(DUEL, sampler="random", objective={"series": "val/accuracy"})
    (sgd, _) = judge(study, duel_trials(study))
    assert sgd.best is not None
    lower, upper = sgd.quartiles
    assert sgd.best.value >= lower >= sgd.median >= upper
    assert sgd.sensitivity == pytest.approx(sgd.best.value - sgd.median)


def test_an_optimum_at_the_border_comes_with_a_patch_that_extends_the_range() -> None:
    study = parse_study(make_study(PLAIN).normalised()).study
    point = {"/optimizer/lr": 1e-4, "/optimizer/weight_decay": 0.05, "/model/hidden/0": 127, "/batch_size": 16}
    rate, width = borders(study, point)
    assert (rate.pointer, rate.end, rate.bound) == ("/optimizer/lr", "low", 1e-4)
    assert rate.patch == {"op": "replace", "path": "/space/~1optimizer~1lr/low", "value": 1e-6}
    assert (width.pointer, width.end, width.patch["value"]) == ("/model/hidden/0", "high", 512)
    extended = apply_patch(study.normalised(), [rate.patch, width.patch])
    assert parse_study(extended).study.space["/optimizer/lr"].low == 1e-6
    assert borders(study, {**point, "/optimizer/lr": 1e-2, "/model/hidden/0": 30}) == []


def test_a_range_is_extended_as_far_as_the_field_goes() -> None:
    space = {"/optimizer/lr": {"kind": "log_uniform", "low": 1e-3, "high": 8.0}}
    study = parse_study(make_study(space).normalised()).study
    (rate,) = borders(study, {"/optimizer/lr": 7.9})
    assert rate.patch["value"] == 10.0
    ended = parse_study(make_study({"/optimizer/lr": space["/optimizer/lr"] | {"high": 10.0}}).normalised()).study
    assert borders(ended, {"/optimizer/lr": 9.9}) == []
    beta = {"/optimizer/betas/0": {"kind": "uniform", "low": 0.5, "high": 0.9}}
    open_ = parse_study(make_study(beta).normalised()).study
    (found,) = borders(open_, {"/optimizer/betas/0": 0.9})
    assert 0.9 < found.patch["value"] < 1.0
    parse_study(apply_patch(open_.normalised(), [found.patch]))


def test_the_border_of_an_options_dimension_is_patched_in_its_place() -> None:
    study = parse_study(make_study(DUEL, sampler="random").normalised()).study
    (found,) = borders(study, {"/optimizer": ADAM, "/optimizer/lr": 0.1, "/model/hidden/0": 50, "/clip/norm": 1.0})
    assert found.patch["path"] == "/space/~1optimizer/options/1/space/~1optimizer~1lr/high"
    assert parse_study(apply_patch(study.normalised(), [found.patch])).study != study


def test_a_profile_is_the_share_of_targets_reached_within_a_ratio() -> None:
    found = profile([[100, 150], [300, 200], [None, 400], [None, None]])
    shares = {point.ratio: point.shares for point in found}
    assert shares[1.0] == (0.25, 0.5)
    assert shares[1.5] == (0.5, 0.75)
    assert [point.ratio for point in found] == sorted(shares)


def test_steps_to_a_target_are_those_of_the_first_rung_there() -> None:
    study = make_study(DUEL)
    trial = Trial(0, {}, TrialState.FINISHED, (3.0, 2.0, None), 1.0)
    assert [steps_to_reach(study, trial, (10, 20, 30), 40, target) for target in (3.5, 2.0, 1.5, 0.5)] == [
        10,
        20,
        40,
        None,
    ]
    pruned = Trial(0, {}, TrialState.PRUNED, (3.0,))
    assert steps_to_reach(study, pruned, (10, 20, 30), 40, 2.5) is None


def test_the_faster_side_reaches_the_targets_first() -> None:
    study = make_study(DUEL, sampler="random")
    points = [trial.point for trial in run_study(study, 20, lambda _: 1.0)]
    trials = []
    for at, point in enumerate(points):
        fast = point["/optimizer"] == "sgd"
        trials.append(Trial(at, point, TrialState.FINISHED, (1.0 if fast else 5.0, 0.9), 0.5 + at / 100))
    steps = {trial.number: (10, 20) for trial in trials}
    totals = dict.fromkeys(steps, 30)
    wanted = targets(study, trials)
    assert all(one >= other for one, other in pairwise(wanted))
    rows = fewest_steps(study, trials, steps, totals)
    assert len(rows) == len(wanted)
    assert all(row == [30, 30] for row in rows)
    easy = [Trial(t.number, t.point, t.state, t.rungs, 1.0 + t.number / 1000) for t in trials]
    assert all(row[0] < row[1] for row in fewest_steps(study, easy, steps, totals))
