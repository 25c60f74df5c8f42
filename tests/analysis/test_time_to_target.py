"""Time to target, profiles and scores against what is written out by hand."""

import numpy as np
import pytest

from service.analysis.time_to_target import first_reach, part_of_range, performance, study_time

INF = float("inf")


def test_the_first_time_counts_even_if_the_curve_leaves_the_target_again() -> None:
    x, y = np.array([1.0, 2.0, 3.0, 4.0]), np.array([0.9, np.nan, 0.4, 0.6])
    assert first_reach(x, y, 0.5, "min") == 3.0
    assert first_reach(x, y, 0.4, "min") == 3.0
    assert first_reach(x, y, 0.3, "min") == INF
    assert first_reach(x, y, 0.8, "max") == 1.0
    assert first_reach(x[:0], y[:0], 0.5, "min") == INF


def test_a_workloads_time_is_the_median_over_studies_of_the_least_trial() -> None:
    assert study_time([[5.0, 3.0], [INF, 9.0], [4.0, 4.0]]) == 4.0
    assert study_time([[INF], [1.0], [INF]]) == INF
    assert study_time([[1.0], [INF]]) == INF
    with pytest.raises(ValueError, match="a trial in each"):
        study_time([[]])


def test_the_score_is_the_area_under_the_profile() -> None:
    times = [[10.0, 30.0, INF, 8.0], [20.0, 10.0, INF, 100.0], [10.0, INF, INF, 16.0]]
    found = performance(times)
    assert found.ratios[0] == [1.0, 3.0, INF, 1.0]
    assert found.ratios[2] == [1.0, INF, INF, 2.0]
    assert found.reached == [3, 3, 2]
    tau = np.linspace(1, 4, 300_001)
    for ratios, score in zip(found.ratios, found.scores, strict=True):
        profile = np.mean([tau >= ratio for ratio in ratios], axis=0)
        assert score == pytest.approx(np.trapezoid(profile, tau) / 3, abs=1e-5)
    assert found.scores[0] == pytest.approx((1 + 1 / 3 + 0 + 1) / 4)
    assert found.tau == [1.0, 2.0, 3.0, 4.0]
    assert found.profiles[0] == [0.5, 0.5, 0.75, 0.75]
    assert found.speedups == [1.0, pytest.approx((10 / 20 * 30 / 10 * 8 / 100) ** (1 / 3)), pytest.approx(0.5**0.5)]


def test_a_ratio_of_exactly_the_limit_earns_nothing() -> None:
    assert performance([[1.0], [4.0]]).scores == [1.0, 0.0]


def test_the_range_ends_at_the_best_trials_median_not_at_the_luckiest_run() -> None:
    assert part_of_range([2.0, 2.2, 2.4], [0.4, 0.2, INF], 0.9, "min") == pytest.approx(2.2 - 0.9 * 2.0)
    assert part_of_range([0.1], [0.5, 0.9], 0.5, "max") == pytest.approx(0.5)
    assert part_of_range([], [1.0], 0.9, "min") is None


@pytest.mark.parametrize("times", [[], [[]], [[-1.0]], [[float("nan")]], [1.0]])
def test_what_is_no_table_of_times_is_refused(times: object) -> None:
    with pytest.raises(ValueError, match="times must be"):
        performance(times)
