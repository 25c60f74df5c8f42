"""Curves on one axis: resampling against a slow version that looks each grid point up by itself."""

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.analysis.align import Curve, resample
from service.analysis.arrays import Values
from service.analysis.axes import epochs

modest = settings(deadline=None, max_examples=100)
numbers = st.one_of(st.floats(-10, 10), st.sampled_from([math.nan, math.inf, -math.inf]))


@st.composite
def some_curve(draw: st.DrawFn) -> Curve:
    x = sorted(draw(st.lists(st.integers(0, 200), max_size=30)))  # with repeats: of one x the last counts
    y = draw(st.lists(numbers, min_size=len(x), max_size=len(x)))
    return Curve(np.array(x, dtype=float) / 4, np.array(y, dtype=float))


def look_up(each: Curve, x: float) -> tuple[bool, float]:
    """Whether the curve is present at x, and its last value at or before it."""
    points = list(zip(each.x.tolist(), each.y.tolist(), strict=True))
    if not points or x < points[0][0] or x > points[-1][0]:
        return False, math.nan
    return True, [value for at, value in points if at <= x][-1]


@modest
@given(st.lists(some_curve(), max_size=5), st.integers(2, 50))
def test_resampling_equals_looking_each_point_up(curves: list[Curve], points: int) -> None:
    aligned = resample(curves, points)
    assert len(aligned.x) <= points
    assert aligned.y.shape == aligned.present.shape == (len(curves), len(aligned.x))
    for row, each in enumerate(curves):
        expected = [look_up(each, x) for x in aligned.x.tolist()]
        assert aligned.present[row].tolist() == [present for present, _ in expected]
        np.testing.assert_array_equal(aligned.y[row], [value for _, value in expected])


@modest
@given(st.lists(some_curve(), max_size=5), st.integers(2, 50))
def test_the_grid_is_exact_where_it_can_be_and_spans_all_curves(curves: list[Curve], points: int) -> None:
    there = sorted({x for each in curves for x in each.x.tolist()})
    grid = resample(curves, points).x.tolist()
    if len(there) <= points:
        assert grid == there
    else:
        assert len(grid) == points
        assert (grid[0], grid[-1]) == (there[0], there[-1])


def curve_of(x: Sequence[float] | Values, y: Sequence[float]) -> Curve:
    return Curve(np.asarray(x, dtype=float), np.asarray(y, dtype=float))


def test_a_run_that_ended_earlier_is_absent_and_a_diverged_one_is_present() -> None:
    short, diverged = curve_of([1, 2], [5.0, 4.0]), curve_of([1, 2, 3], [5.0, math.nan, math.nan])
    aligned = resample([short, diverged], 10)
    assert aligned.present.tolist() == [[True, True, False], [True, True, True]]
    assert np.isnan(aligned.y[0, 2])
    assert np.isnan(aligned.y[1, 2])


def test_runs_with_different_batch_sizes_meet_on_the_axis_of_epochs() -> None:
    coarse = curve_of(epochs(np.array([10, 20]), 10), [2.0, 1.0])
    fine = curve_of(epochs(np.array([25, 50]), 25), [4.0, 3.0])
    aligned = resample([coarse, fine], 10)
    assert aligned.x.tolist() == [1.0, 2.0]
    assert aligned.y.tolist() == [[2.0, 1.0], [4.0, 3.0]]
    assert epochs(np.array([5]), 10).tolist() == [0.5]


@pytest.mark.parametrize(("x", "y"), [([2.0, 1.0], [0.0, 0.0]), ([math.nan], [0.0]), ([1.0], []), ([math.inf], [0.0])])
def test_what_is_no_curve_is_refused(x: list[float], y: list[float]) -> None:
    with pytest.raises(ValueError, match="x"):
        Curve(np.array(x), np.array(y))


def test_a_grid_has_two_ends() -> None:
    with pytest.raises(ValueError, match="at least 2"):
        resample([curve_of([1], [1.0])], 1)
