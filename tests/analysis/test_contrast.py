"""Verdicts over seeds: right where the data tell, silent where they do not, and honest about seeds that diverged."""

import numpy as np
import pytest
from scipy import stats

from service.analysis.contrast import Contrast, contrasts

SEEDS = np.random.default_rng(3).normal(size=8)  # what a seed makes, the same in every group
NAN = float("nan")


def against(a: object, b: object, direction: str = "min") -> Contrast:
    values = np.array([a, b], dtype=np.float64)
    return contrasts(values, np.ones(values.shape, dtype=bool), [(0, 1)], [(0, 1)], direction)[0]


def test_a_difference_smaller_than_the_seeds_spread_is_seen_in_pairs() -> None:
    noise = np.random.default_rng(4).normal(scale=0.01, size=8)
    contrast = against(SEEDS, SEEDS + 0.05 + noise)
    assert contrast.verdict == "better"
    assert contrast.difference == pytest.approx(-0.05 - noise.mean())
    assert contrast.p == contrast.p_adjusted == pytest.approx(stats.ttest_rel(SEEDS, SEEDS + 0.05 + noise).pvalue)
    assert contrast.wins == 1.0
    assert against(SEEDS, SEEDS + 0.05 + noise, "max").verdict == "worse"
    assert against(SEEDS + 0.05 + noise, SEEDS).verdict == "worse"


def test_noise_is_indistinguishable_and_says_how_many_seeds_would_tell() -> None:
    contrast = against([0.1, 0.2, 0.3], [0.14, 0.18, 0.35])
    assert contrast.verdict == "indistinguishable"
    assert contrast.more_seeds == 20
    assert against([0.1], [0.9]).verdict == "indistinguishable"
    assert against([0.1], [0.9]).more_seeds is None


@pytest.mark.parametrize("draw", ["normal", "exponential"])
def test_two_equal_groups_are_told_apart_in_at_most_one_of_twenty_cases(draw: str) -> None:
    drawn = getattr(np.random.default_rng(5), draw)(size=(1500, 2, 5))
    told = [against(a, b).verdict != "indistinguishable" for a, b in drawn]
    assert np.mean(told) <= 0.065


def test_many_equal_groups_are_no_better_than_two() -> None:
    pairs = [(i, j) for i in range(10) for j in range(i)]
    wrong = 0
    for drawn in np.random.default_rng(6).normal(size=(60, 10, 5)):
        found = contrasts(drawn, np.ones((10, 5), dtype=bool), pairs, pairs, "min")
        wrong += any(each.verdict != "indistinguishable" for each in found)
    assert wrong / 60 <= 0.1


def test_groups_without_a_common_seed_are_not_comparable() -> None:
    values = np.array([[0.1, 0.2, NAN, NAN], [NAN, NAN, 0.3, 0.4]])
    (contrast,) = contrasts(values, np.isfinite(values), [(0, 1)], [(0, 1)], "min")
    assert (contrast.verdict, contrast.n, contrast.p) == ("not_comparable", 0, None)


def test_a_group_that_always_diverges_is_worse_once_that_is_no_accident() -> None:
    assert against([0.1] * 5, [NAN] * 5).verdict == "better"
    assert against([np.inf] * 5, [0.1] * 5).verdict == "worse"
    few = against([0.1] * 3, [NAN] * 3)
    assert (few.verdict, few.diverged, few.p) == ("indistinguishable", (0, 3), pytest.approx(0.1))


def test_a_group_that_diverges_more_often_is_not_better_by_its_survivors() -> None:
    stable = np.full(6, 0.5) + SEEDS[:6] / 100
    wild = stable - 0.3
    assert against(wild, stable).verdict == "better"
    wild[0] = NAN
    contrast = against(wild, stable)
    assert (contrast.verdict, contrast.n, contrast.diverged) == ("indistinguishable", 5, (1, 0))
    assert against(stable, wild).verdict == "indistinguishable"
