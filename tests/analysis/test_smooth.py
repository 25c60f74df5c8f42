"""The moving average, against the recurrence written as a loop."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.analysis.smooth import smooth

modest = settings(deadline=None, max_examples=100)
numbers = st.one_of(st.floats(-100, 100), st.sampled_from([math.nan, math.inf, -math.inf]))


def slowly(values: list[float], weight: float) -> list[float]:
    average, seen, shown = 0.0, 0, []
    for value in values:
        if math.isfinite(value):
            average, seen = weight * average + (1 - weight) * value, seen + 1
        shown.append(average / (1 - weight**seen) if seen else math.nan)
    return shown


@modest
@given(st.lists(numbers, max_size=80), st.sampled_from([0.0, 0.1, 0.5, 0.9, 0.99, 0.999]))
def test_the_average_is_that_of_the_recurrence(values: list[float], weight: float) -> None:
    np.testing.assert_allclose(smooth(values, weight), slowly(values, weight), rtol=1e-9, atol=1e-10)


def test_a_long_series_is_that_of_the_recurrence_too() -> None:
    values = np.random.default_rng(0).normal(size=20_000)
    np.testing.assert_allclose(smooth(values, 0.99), slowly(values.tolist(), 0.99), rtol=1e-9, atol=1e-12)


def test_the_start_is_not_drawn_towards_zero() -> None:
    assert smooth([5.0, 5.0, 5.0], 0.99).tolist() == [5.0, 5.0, 5.0]


def test_a_nan_is_skipped_and_the_average_goes_on() -> None:
    with_gap, without = smooth([1.0, math.nan, 2.0, math.inf, 3.0], 0.9), smooth([1.0, 2.0, 3.0], 0.9)
    assert with_gap[[0, 2, 4]].tolist() == without.tolist()
    assert with_gap[[1, 3]].tolist() == without[:2].tolist()


def test_before_the_first_finite_value_there_is_no_average() -> None:
    np.testing.assert_array_equal(smooth([math.nan, math.inf, 4.0], 0.5), [math.nan, math.nan, 4.0])
    assert np.isnan(smooth([math.nan] * 3, 0.5)).all()
    assert smooth([], 0.5).tolist() == []


def test_an_average_of_the_largest_floats_does_not_overflow() -> None:
    largest = 1.7976931348623157e308
    assert smooth([largest] * 100, 0.9).tolist() == [largest] * 100


@pytest.mark.parametrize("weight", [-0.1, 1.0, math.nan])
def test_a_weight_outside_its_range_is_refused(weight: float) -> None:
    with pytest.raises(ValueError, match="at least 0 and below 1"):
        smooth([1.0], weight)
