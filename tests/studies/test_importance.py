"""Importance: dimensions that matter are told from those that do not, by ranks, without a share for nothing."""

import math
import random

import pytest

from service.analysis.importance import explained_share
from service.studies.importance import importances
from service.studies.trial import Trial, TrialState
from tests.studies.examples import SPACES, make_study, run_study


def test_a_dimension_without_effect_has_no_share_on_average() -> None:
    generator = random.Random(0)
    shares = [
        explained_share([generator.random() for _ in range(50)], [generator.random() for _ in range(50)]) or 0.0
        for _ in range(200)
    ]
    assert sum(shares) / 200 < 0.035
    assert sum(share == 0 for share in shares) > 80


def test_a_dimension_that_decides_everything_has_nearly_all() -> None:
    xs = [at / 100 for at in range(100)]
    assert (explained_share(xs, [10**x for x in xs]) or 0) > 0.9
    assert (explained_share([x > 0.5 for x in xs], [float(x > 0.5) for x in xs]) or 0) > 0.99


def test_one_huge_or_infinite_loss_changes_nothing() -> None:
    generator = random.Random(1)
    xs = [generator.random() for _ in range(60)]
    ys = [x + 0.1 * generator.random() for x in xs]
    plain = explained_share(xs, ys)
    worst = max(range(60), key=lambda at: ys[at])
    for huge in (1e30, math.inf):
        assert explained_share(xs, [huge if at == worst else y for at, y in enumerate(ys)]) == plain


def test_two_dimensions_share_as_the_analysis_of_variance_says() -> None:
    """Ranks of a balanced design of two factors without interaction: the shares are those of the sums of squares."""
    points = [(a, b) for a in range(5) for b in range(5) for _ in range(4)]
    losses = [10.0 * a + b for a, b in points]
    first = explained_share([a for a, _ in points], losses) or 0
    second = explained_share([b for _, b in points], losses)
    assert first == pytest.approx(0.9595, abs=0.005)
    assert second == 0.0  # of what the first leaves, chance alone would explain more


def test_few_trials_or_one_value_say_nothing() -> None:
    assert explained_share([0.1] * 9, list(range(9))) is None
    assert explained_share([0.1] * 30, list(range(30))) is None


def test_dimensions_of_an_option_are_judged_on_its_trials() -> None:
    study = make_study(SPACES["conditional"], sampler="random")

    def loss(point: dict[str, object]) -> float:
        return abs(math.log10(point["/optimizer/lr"] / 0.01)) if point["/optimizer"] == "sgd" else 100.0

    trials = [Trial(t.number, t.point, TrialState.FINISHED, (), t.value) for t in run_study(study, 80, loss)]
    found = {each.name: each for each in importances(study, trials)}
    assert "/clip/norm" not in found
    rate = found["/optimizer=0 > /optimizer/lr"]
    assert rate.trials == sum(trial.point["/optimizer"] == "sgd" for trial in trials)
    assert rate.share is not None
    assert rate.share > 0.5
    assert (found["/optimizer"].share or 0) > 0.4
    assert (found["/model/hidden/0"].share or 0) < 0.15
