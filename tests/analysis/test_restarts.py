"""Restarts: best, quartiles and the expected best of k, against figures by hand and all subsets."""

import itertools
import math
import statistics

import pytest

from service.analysis.restarts import expected_best, restarts


def test_figures_by_hand() -> None:
    found = restarts([4.0, 1.0, 3.0, 2.0])
    assert (found.n, found.diverged, found.best, found.median) == (4, 0, 1.0, 2.5)
    assert found.quartiles == (1.75, 3.25)
    assert found.expected_best[1] == pytest.approx(5 / 3)


def test_the_expected_best_is_the_mean_over_all_subsets() -> None:
    values = sorted([0.3, 2.0, 0.1, 5.0, 0.1, 7.0])
    for k in range(1, 7):
        every = statistics.fmean(min(chosen) for chosen in itertools.combinations(values, k))
        assert expected_best(values, k) == pytest.approx(every, rel=1e-12)


def test_runs_that_diverged_are_counted_and_spoil_nothing() -> None:
    found = restarts([1.0, math.nan, 3.0, math.inf])
    assert (found.n, found.diverged, found.best, found.median) == (2, 2, 1.0, 2.0)
    nothing = restarts([math.nan])
    assert (nothing.n, nothing.diverged, nothing.best, nothing.quartiles, nothing.expected_best) == (
        0,
        1,
        None,
        None,
        (),
    )


def test_a_thousand_restarts_are_exact() -> None:
    found = restarts([float(i) for i in range(1000)])
    assert found.expected_best[0] == pytest.approx(499.5)
    assert found.expected_best[-1] == 0.0
