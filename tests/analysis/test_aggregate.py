"""Statistics over seeds, against the standard library's exact ones and scipy's interval."""

import math
import statistics
from dataclasses import asdict

import numpy as np
import pytest
import scipy
from hypothesis import given, settings
from hypothesis import strategies as st

from service.analysis.aggregate import Aggregate, aggregate, aggregate_curves

modest = settings(deadline=None, max_examples=100)
numbers = st.one_of(
    st.floats(-100, 100), st.integers(-3, 3).map(float), st.sampled_from([math.nan, math.inf, -math.inf])
)


def slowly(values: list[float]) -> Aggregate:
    finite = [value for value in values if math.isfinite(value)]
    n, diverged = len(finite), len(values) - len(finite)
    if not n:
        return Aggregate(0, diverged, *(None,) * 9)
    mean, median = statistics.fmean(finite), statistics.median(finite)
    if n == 1:
        return Aggregate(1, diverged, mean, None, median, mean, mean, mean, mean, None, None)
    sd = statistics.stdev(finite)
    half = float(scipy.stats.t.ppf(0.975, n - 1)) * sd / math.sqrt(n)
    q1, _, q3 = statistics.quantiles(finite, method="inclusive")
    return Aggregate(n, diverged, mean, sd, median, q1, q3, min(finite), max(finite), mean - half, mean + half)


def assert_close(found: Aggregate, expected: Aggregate) -> None:
    for name, wanted in asdict(expected).items():
        value = getattr(found, name)
        assert (value is None) == (wanted is None), name
        assert value is None or value == pytest.approx(wanted, rel=1e-9, abs=1e-12), name


@modest
@given(st.lists(numbers, max_size=12))
def test_the_statistics_are_those_of_the_standard_library(values: list[float]) -> None:
    assert_close(aggregate(values), slowly(values))


@modest
@given(st.integers(1, 6), st.integers(0, 6), st.data())
def test_each_grid_point_is_an_aggregate_of_the_runs_present(runs: int, points: int, data: st.DataObject) -> None:
    row = st.lists(numbers, min_size=points, max_size=points)
    here = st.lists(st.booleans(), min_size=points, max_size=points)
    y = np.array([data.draw(row) for _ in range(runs)], dtype=float).reshape(runs, points)
    present = np.array([data.draw(here) for _ in range(runs)], dtype=bool).reshape(runs, points)
    band = aggregate_curves(y, present)
    for point in range(points):
        expected = slowly(y[present[:, point], point].tolist())
        for name, wanted in asdict(expected).items():
            found = float(getattr(band, name)[point])
            assert found == pytest.approx(math.nan if wanted is None else wanted, rel=1e-9, abs=1e-12, nan_ok=True)


def test_no_runs_have_no_statistics() -> None:
    assert aggregate([]) == Aggregate(0, 0, *(None,) * 9)
    band = aggregate_curves(np.empty((0, 3)))
    assert band.n.tolist() == band.diverged.tolist() == [0, 0, 0]
    assert np.isnan(band.mean).all()


def test_diverged_seeds_are_counted_and_left_out() -> None:
    assert aggregate([1.0, math.nan, 3.0, math.inf]).diverged == 2
    assert aggregate([1.0, math.nan, 3.0, math.inf]).mean == 2.0


def test_equal_seeds_have_no_spread() -> None:
    found = aggregate([0.1] * 7)
    assert (found.mean, found.sd, found.low, found.high) == (0.1, 0.0, 0.1, 0.1)


@pytest.mark.parametrize("scale", [1e307, 1e-306])
def test_huge_and_tiny_values_are_as_exact_as_ordinary_ones(scale: float) -> None:
    found, ordinary = aggregate([1 * scale, 2 * scale, 4 * scale]), aggregate([1.0, 2.0, 4.0])
    for name in ("mean", "sd", "median", "low", "high"):
        assert getattr(found, name) / scale == pytest.approx(getattr(ordinary, name), rel=1e-12)


def test_a_spread_beyond_float64_is_infinite_while_the_mean_stays() -> None:
    found = aggregate([1.7e308, -1.7e308])
    assert (found.mean, found.sd, found.low, found.high) == (0.0, math.inf, -math.inf, math.inf)
