"""What tuning costs, against every draw written out, and against values worked by hand."""

import itertools
import math

import numpy as np
import pytest

from service.analysis.tuning import REACH, at_border, expected_best, sensitivity


def test_the_expected_best_of_k_is_the_mean_over_every_draw() -> None:
    assert expected_best([1, 2, 3, 4])[1] == pytest.approx(5 / 3)
    values = np.random.default_rng(0).normal(size=7)
    for k, expected in enumerate(expected_best(values), 1):
        assert expected == pytest.approx(np.mean([min(pick) for pick in itertools.combinations(values, k)]))
    highest = expected_best(values, "max")
    assert highest[2] == pytest.approx(np.mean([max(pick) for pick in itertools.combinations(values, 3)]))


def test_a_diverged_trial_is_a_trial() -> None:
    assert expected_best([1.0, math.nan, 3.0])[0] == pytest.approx((1 + 3 + 3) / 3)
    assert expected_best([math.nan]) == []
    many = expected_best(np.arange(1000.0))
    assert (len(many), many[0], many[-1]) == (1000, pytest.approx(499.5), 0.0)


def test_sensitivity_is_the_mean_loss_above_the_best_over_the_logarithm_of_the_rate() -> None:
    found = sensitivity([0.01, 0.1, 1.0], [0.5, 0.3, math.nan], before=2.3)
    assert found is not None
    assert found.best_lr == 0.1
    assert found.value == pytest.approx(((0.2 + 0) / 2 + (0 + 2.0) / 2) / 2)
    assert found.rates == 3
    assert found.covered == pytest.approx(math.log(100) / math.log(REACH**2))


def test_rates_far_from_the_best_do_not_count_and_repeated_ones_are_averaged() -> None:
    found = sensitivity([1e-5, 0.1, 0.1, 0.2], [2.0, 0.2, 0.4, 0.5], before=2.3)
    assert found is not None
    assert (found.rates, found.best_lr, found.value) == (2, 0.1, pytest.approx(0.1))


def test_two_rates_say_nothing_of_sensitivity() -> None:
    assert sensitivity([0.1, 0.2], [0.3, 0.4], 2.3) is None
    assert sensitivity([0.1, 1e-4, 1e3], [0.3, 0.4, 0.5], 2.3) is None


def test_an_optimum_at_the_border_is_named() -> None:
    assert at_border([0.1, 0.2, 0.3], 0.3)
    assert not at_border([0.1, 0.2, 0.3], 0.2)
    assert not at_border([0.1, 0.3], 0.3)
