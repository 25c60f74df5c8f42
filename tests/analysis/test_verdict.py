"""Verdicts over seeds: right where the data tell, silent where they do not, and honest about seeds that diverged."""

import numpy as np
import pytest
import scipy

from service.analysis.power import fresh_seeds
from service.analysis.verdict import Contrast, contrasts
from tests.benchmarks.verdicts.winners_curse import Case, simulate

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
    assert contrast.p == contrast.p_adjusted == pytest.approx(scipy.stats.ttest_rel(SEEDS, SEEDS + 0.05 + noise).pvalue)
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


@pytest.mark.parametrize(
    ("kind", "trials", "seeds"),
    [("normal", 20, 5), ("uneven", 20, 3), ("skewed", 5, 5), ("rounded", 20, 3), ("rounded", 1, 2)],
)
def test_a_winner_chosen_among_equal_trials_gets_a_verdict_in_at_most_one_of_twenty_cases(
    kind: str, trials: int, seeds: int
) -> None:
    found = simulate(np.random.default_rng(7), Case(kind, True, trials, seeds), 500)
    assert max(found.corrected, found.fresh) <= 0.08  # 5 % and three standard errors of 500
    if (kind, trials) == ("normal", 20):
        assert found.uncorrected > 0.08


def test_only_the_choice_of_the_better_one_costs_it_its_verdict() -> None:
    values = np.array([[0.1, 0.21, 0.29], [0.16, 0.25, 0.36]])
    known = np.ones(values.shape, dtype=bool)
    (plain,) = contrasts(values, known, [(0, 1)], [(0, 1)], "min")
    (chosen,) = contrasts(values, known, [(0, 1)], [(0, 1)], "min", [5, 1])
    (other,) = contrasts(values, known, [(0, 1)], [(0, 1)], "min", [1, 5])
    assert [each.verdict for each in (plain, chosen, other)] == ["better", "unconfirmed", "better"]
    assert plain.p is not None
    assert chosen.p_adjusted == pytest.approx(5 * plain.p)
    (turned,) = contrasts(values, known, [(1, 0)], [(0, 1)], "min", [5, 1])
    assert (turned.verdict, turned.leads, turned.choices) == ("unconfirmed", False, 5)
    assert contrasts(values, known, [(0, 1)], [(0, 1)], "max", [5, 1])[0].verdict == "worse"


def test_equal_differences_prove_no_more_than_their_sign() -> None:
    values = np.array([[0.25] * 8, [0.5] * 8])

    def found(seeds: int, trials: list[int]) -> Contrast:
        known = np.ones((2, seeds), dtype=bool)
        return contrasts(values[:, :seeds], known, [(0, 1)], [(0, 1)], "min", trials)[0]

    plain = [found(seeds, [1, 1]) for seeds in (2, 5, 6)]
    assert [each.p for each in plain] == [1 / 2, 1 / 16, 1 / 32]
    assert [each.verdict for each in plain] == ["indistinguishable", "indistinguishable", "better"]
    assert [each.more_seeds for each in plain] == [4, 1, None]
    chosen = [found(seeds, [2, 1]) for seeds in (6, 8)]
    assert [each.verdict for each in chosen] == ["unconfirmed", "better"]
    assert found(6, [1, 2]).verdict == "better"


def test_how_often_chosen_trials_diverged_is_corrected_too() -> None:
    values = np.array([[0.1] * 5, [NAN] * 5])
    known = np.ones(values.shape, dtype=bool)
    (contrast,) = contrasts(values, known, [(0, 1)], [(0, 1)], "min", [20, 1])
    assert (contrast.verdict, contrast.choices) == ("unconfirmed", 20)
    assert contrasts(values, known, [(0, 1)], [(0, 1)], "min", [1, 20])[0].verdict == "better"


@pytest.mark.parametrize(
    ("difference", "sd", "seeds"), [(None, None, 5), (1.0, 0.0, 6), (4.0, 1.0, 5), (1.0, 1.0, 10), (0.0, 1.0, 20)]
)
def test_as_many_fresh_seeds_are_suggested_as_would_show_the_difference(
    difference: float | None, sd: float | None, seeds: int
) -> None:
    assert fresh_seeds(difference, sd) == seeds
