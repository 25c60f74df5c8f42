"""Reduction to buckets, against a slow version that visits one point after the other."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.analysis.reduce import Reduced, bucket_points, level_for, reduce, regroup

Series = tuple[list[int], list[float]]
Row = tuple[int, int, float, float, float, float, int, int]
modest = settings(deadline=None, max_examples=100)
numbers = st.one_of(
    st.floats(-100, 100),
    st.floats(),
    st.sampled_from([math.nan, math.inf, -math.inf, 1.7e308, -1.7e308, 0.0]),
)


def merge_buckets(reduced: Reduced) -> Reduced:
    """The same points, one level up."""
    return regroup(reduced, reduced.level + 1)[0]


@st.composite
def some_series(draw: st.DrawFn, min_size: int = 0) -> Series:
    gaps = draw(st.lists(st.sampled_from([1, 1, 1, 2, 7, 1000]), min_size=min_size, max_size=60))
    steps = np.cumsum([draw(st.integers(0, 300)), *gaps])[1:].tolist()
    values = draw(st.lists(numbers, min_size=len(steps), max_size=len(steps)))
    return steps, values


def slowly(steps: list[int], values: list[float], level: int) -> list[Row]:
    """One row per bucket: first step, last step, min, max, mean, last, count, non-finite count."""
    buckets: dict[int, list[tuple[int, float]]] = {}
    for step, value in zip(steps, values, strict=True):
        buckets.setdefault(step // 2**level, []).append((step, value))
    rows = []
    for points in buckets.values():
        finite = [value for _, value in points if math.isfinite(value)]
        mean = float(sum(map(Fraction, finite)) / len(finite)) if finite else math.nan
        extremes = (min(finite), max(finite)) if finite else (math.nan, math.nan)
        rows.append(
            (
                points[0][0],
                points[-1][0],
                *extremes,
                mean,
                points[-1][1],
                len(points),
                len(points) - len(finite),
            )
        )
    return rows


def level_slowly(first: int, last: int, points: int) -> int:
    return next(k for k in range(64) if last // 2**k - first // 2**k + 1 <= points)


def rows_of(reduced: Reduced) -> list[Row]:
    names = ("first_step", "last_step", "min", "max", "mean", "last", "count", "nonfinite")
    return list(zip(*(getattr(reduced, name).tolist() for name in names), strict=True))


def same(a: float, b: float) -> bool:
    return a == b or (math.isnan(a) and math.isnan(b))


def assert_same(found: Reduced, expected: list[Row]) -> None:
    rows = rows_of(found)
    assert len(rows) == len(expected)
    for row, wanted in zip(rows, expected, strict=True):
        assert all(map(same, row[:4] + row[5:], wanted[:4] + wanted[5:]))
        scale = 0.0 if math.isnan(wanted[2]) else max(abs(wanted[2]), abs(wanted[3]))
        assert row[4] == pytest.approx(wanted[4], rel=1e-12, abs=1e-13 * scale, nan_ok=True)
        assert math.isnan(row[4]) or row[2] <= row[4] <= row[3]


@modest
@given(some_series(), st.integers(1, 70))
def test_the_fast_reduction_equals_the_slow_one(series: Series, points: int) -> None:
    steps, values = series
    reduced = reduce(steps, values, points)
    level = level_slowly(steps[0], steps[-1], points) if steps else 0
    assert reduced.level == level
    assert len(reduced.count) <= points
    assert_same(reduced, slowly(steps, values, level))


@modest
@given(some_series(min_size=1), st.integers(0, 12), st.data())
def test_appending_changes_no_complete_bucket(series: Series, level: int, data: st.DataObject) -> None:
    steps, values = np.array(series[0], np.int64), np.array(series[1])
    end = data.draw(st.integers(1, len(steps)))
    before = rows_of(bucket_points(steps[:end], values[:end], level)[0])
    after = rows_of(bucket_points(steps, values, level)[0])
    assert repr(after[: len(before) - 1]) == repr(before[:-1])  # bit for bit


@modest
@given(some_series(min_size=1), st.integers(1, 70))
def test_merging_buckets_equals_reducing_directly(series: Series, points: int) -> None:
    steps, values = series
    merged = merge_buckets(reduce(steps, values, points))
    assert_same(merged, slowly(steps, values, merged.level))


def test_a_spike_of_one_step_in_a_million_is_seen() -> None:
    values = np.zeros(1_000_000)
    values[777_777] = 9.0
    reduced = reduce(np.arange(1, 1_000_001), values, 1000)
    (bucket,) = np.flatnonzero(reduced.max == 9.0)
    assert reduced.first_step[bucket] <= 777_778 <= reduced.last_step[bucket]


def test_a_single_nan_is_counted_in_its_bucket_and_spoils_nothing() -> None:
    values = np.ones(64)
    values[10] = math.nan
    reduced = reduce(np.arange(64), values, 8)
    assert reduced.nonfinite.tolist() == [0, 1, 0, 0, 0, 0, 0, 0]
    assert (reduced.mean == 1.0).all()


def test_a_bucket_without_finite_values_has_no_extremes() -> None:
    reduced = reduce([0, 1, 2, 3], [math.nan, math.inf, 1.0, 2.0], 2)
    assert np.isnan([reduced.min[0], reduced.max[0], reduced.mean[0]]).all()
    assert reduced.last.tolist() == [math.inf, 2.0]


def test_means_near_the_largest_float_do_not_overflow() -> None:
    reduced = reduce([0, 1, 2, 3], [1.7e308, 1.7e308, 1.0, 3.0], 2)
    assert reduced.mean.tolist() == [1.7e308, 2.0]
    assert merge_buckets(reduced).mean.tolist() == pytest.approx([0.85e308])


def test_merged_means_do_not_round_past_the_largest_float() -> None:
    largest = 1.7976931348623157e308
    steps = [0, 1, 2, 3, 4, 5, 6, 8, 9, 10, 12, 13]
    merged = merge_buckets(reduce(steps, [largest] * len(steps), 5))
    assert merged.mean.tolist() == [largest] * len(merged.mean)


def test_level_zero_is_exact_and_so_is_a_sparse_series() -> None:
    assert reduce(range(100), np.arange(100.0), 100).level == 0
    sparse = reduce(range(0, 100_000, 1000), np.arange(100.0), 1000)
    assert sparse.level > 0
    assert sparse.exact
    assert not reduce(range(100), np.arange(100.0), 99).exact


def test_an_empty_series_reduces_to_no_buckets() -> None:
    reduced = reduce([], [], 10)
    assert rows_of(reduced) == []
    assert rows_of(merge_buckets(reduced)) == []


def test_the_largest_steps_are_no_trouble() -> None:
    reduced = reduce([0, 2**62], [1.0, 2.0], 1)
    assert (reduced.level, reduced.count.tolist()) == (63, [2])


@pytest.mark.parametrize(("first", "last", "points"), [(0, 1, 0), (-1, 1, 5), (3, 2, 5)])
def test_an_impossible_window_is_refused(first: int, last: int, points: int) -> None:
    with pytest.raises(ValueError, match=r"points must be|window must have"):
        level_for(first, last, points)


@pytest.mark.parametrize(("steps", "values"), [([2, 1], [1.0, 1.0]), ([1], [1.0, 2.0]), ([0.5], [1.0]), ([-1], [1.0])])
def test_what_is_no_series_is_refused(steps: list[int], values: list[float]) -> None:
    with pytest.raises(ValueError, match="Steps"):
        reduce(steps, values, 10)
