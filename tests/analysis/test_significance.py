"""Tests of differences against scipy and published values; how many seeds would tell."""

from collections.abc import Sequence

import numpy as np
import pytest
import scipy

from service.analysis.arrays import Values
from service.analysis.power import more_seeds
from service.analysis.significance import better_than, fisher, holm, t_tests
from service.analysis.t_distribution import t_both_tails


@pytest.mark.parametrize("freedom", [1, 2, 3, 4, 9, 29, 200, 999])
@pytest.mark.parametrize("t", [0.0, 0.3, 1.0, 2.776, 12.7, -3.0])
def test_both_tails_are_those_of_scipy(t: float, freedom: int) -> None:
    assert t_both_tails(np.array([t]), freedom)[0] == pytest.approx(2 * scipy.stats.t.sf(abs(t), freedom), abs=1e-13)


def t_test(differences: Sequence[float] | Values) -> float | None:
    """The test of one row."""
    return t_tests(np.array([differences], dtype=float), np.ones((1, len(differences)), dtype=bool))[0]


@pytest.mark.parametrize("n", [2, 5, 40])
def test_the_paired_test_is_that_of_scipy(n: int) -> None:
    drawn = np.random.default_rng(n)
    a, b = drawn.normal(size=n), drawn.normal(0.5, size=n)
    assert t_test(a - b) == pytest.approx(scipy.stats.ttest_rel(a, b).pvalue)


def test_one_value_tests_nothing_and_equal_ones_prove_their_sign() -> None:
    assert t_test([0.3]) is None
    assert t_test([]) is None
    assert [t_test([0.1] * 3), t_test([0.1] * 6)] == [2**-2, 2**-5]
    assert t_test([0.0, 0.0]) == 1.0


@pytest.mark.parametrize("table", [(5, 5, 0, 5), (3, 3, 0, 3), (1, 5, 2, 7), (4, 10, 4, 10), (0, 5, 0, 5)])
def test_fisher_is_that_of_scipy(table: tuple[int, int, int, int]) -> None:
    a, of_a, b, of_b = table
    expected = scipy.stats.fisher_exact([[a, of_a - a], [b, of_b - b]]).pvalue
    assert fisher(a, of_a, b, of_b) == pytest.approx(expected)


def test_fishers_lady_tasting_tea() -> None:
    assert fisher(4, 4, 0, 4) == pytest.approx(2 / 70)


def test_holm_is_the_worked_example() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


def test_as_many_seeds_as_are_asked_for_do_tell() -> None:
    """The size is that of the noncentral t, to a pair or two; and fewer would not do."""
    for difference, sd, n in ((0.5, 1.0, 5), (1.0, 1.0, 3), (0.2, 1.0, 10)):
        more = more_seeds(difference, sd, n)
        assert more is not None
        power = [_power(difference / sd, size) for size in (n + more - 3, n + more, n + more + 2)]
        assert power[0] < 0.8 <= power[2]


def _power(effect: float, n: int) -> float:
    limit = scipy.stats.t.ppf(0.975, n - 1)
    return float(1 - scipy.stats.nct.cdf(limit, n - 1, effect * n**0.5))


def test_no_number_of_seeds_tells_what_is_not_there() -> None:
    assert more_seeds(0.0, 1.0, 5) is None
    assert more_seeds(1e-6, 1.0, 5) is None
    assert more_seeds(0.5, 1.0, 5, level=0.001) > (more_seeds(0.5, 1.0, 5) or 0)


@pytest.mark.parametrize("n", [2, 3, 5, 20])
@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("reference", [-0.4, 0.0, 0.9])
def test_a_mean_against_a_reference_is_scipys_one_sided_t_test(n: int, sign: int, reference: float) -> None:

    values = np.random.RandomState(n).normal(0.3, 0.5, n)
    side = "greater" if sign > 0 else "less"
    theirs = scipy.stats.ttest_1samp(values, reference, alternative=side)
    found = better_than([*values, np.nan], reference, sign)
    assert found is not None
    assert found.p == pytest.approx(theirs.pvalue, rel=1e-9)
    interval = theirs.confidence_interval(0.95)
    assert found.bound == pytest.approx(interval.low if sign > 0 else interval.high, rel=1e-9)


def test_a_mean_without_spread_is_tested_by_its_sign_and_one_value_not_at_all() -> None:
    assert better_than([0.5], 0.1, 1) is None
    equal = better_than([0.5] * 4, 0.1, 1)
    assert equal is not None
    assert (equal.p, equal.bound) == (2.0**-4, 0.5)
    worse = better_than([0.5] * 4, 0.1, -1)
    assert worse is not None
    assert worse.p == 1 - 2.0**-4


def test_folds_make_the_one_sided_test_stricter() -> None:
    values = [0.80, 0.82, 0.79, 0.83, 0.81]
    seeds, folds = better_than(values, 0.79, 1), better_than(values, 0.79, 1, overlap=0.25)
    assert seeds is not None
    assert folds is not None
    assert seeds.p < 0.05 < folds.p
    assert folds.bound < seeds.bound
