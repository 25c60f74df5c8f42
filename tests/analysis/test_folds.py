"""Tests over folds: a plain paired t test finds differences that are none; the corrected one keeps its promise."""

import numpy as np
import pytest

from service.analysis.aggregate import aggregate_many
from service.analysis.power import more_seeds
from service.analysis.significance import t_tests
from service.analysis.t_distribution import t_both_tails, t_quantile
from service.analysis.verdict import contrasts

from .fold_tests import false_positives


@pytest.mark.parametrize(("folds", "repeats"), [(5, 1), (5, 2)])
def test_a_plain_test_over_folds_is_too_lenient_and_the_corrected_one_is_not(folds: int, repeats: int) -> None:
    plain, corrected = false_positives(1000, folds, repeats)
    assert plain > 0.05 + 0.05 * repeats
    assert corrected < 0.09


def test_a_t_test_without_overlap_is_the_plain_one_and_with_it_the_formula() -> None:
    x = np.array([[0.3, 0.1, 0.5, 0.2, 0.4]])
    there = np.ones(x.shape, bool)
    mean, variance, n = x.mean(), x.var(ddof=1), 5
    for overlap in (0.0, 0.25):
        t = mean / np.sqrt(variance * (1 / n + overlap))
        (found,) = t_tests(x, there, overlap)
        assert found == pytest.approx(float(t_both_tails(np.array([t]), n - 1)[0]))


def test_intervals_widen_with_the_overlap() -> None:
    values = [[1.0, 2.0, 4.0, 3.0, 2.5]] * 2
    plain, folded = aggregate_many(values, [0.0, 0.25])
    assert plain == aggregate_many(values)[0]
    half = t_quantile(0.975, 4) * np.std(values[0], ddof=1) * np.sqrt(1 / 5 + 0.25)
    assert (folded.mean, folded.sd) == (plain.mean, plain.sd)
    assert folded.high is not None
    assert folded.high - 2.5 == pytest.approx(half)


def test_a_contrast_of_folds_is_judged_by_the_corrected_test() -> None:
    difference = np.array([0.9, 0.3, 0.6, 0.8, 0.4])
    values, there = np.stack([difference + 1, np.ones(5)]), np.ones((2, 5), bool)
    (plain,) = contrasts(values, there, [(0, 1)], [(0, 1)], "max")
    (folded,) = contrasts(values, there, [(0, 1)], [(0, 1)], "max", overlaps=[0.25, 0.25])
    assert plain.p is not None
    assert folded.p is not None
    assert plain.interval is not None
    assert folded.interval is not None
    assert plain.bootstrap is not None
    assert folded.bootstrap is not None
    assert (plain.overlap, folded.overlap, plain.verdict) == (0.0, 0.25, "better")
    assert folded.p > plain.p
    assert np.diff(folded.interval) == pytest.approx(1.5 * np.diff(plain.interval))  # sqrt(1 + 5 x 0.25)
    assert np.diff(folded.bootstrap) == pytest.approx(1.5 * np.diff(plain.bootstrap))


def test_more_folds_than_the_overlap_allows_are_never_enough() -> None:
    more = more_seeds(1.0, 0.6, 5, overlap=0.25)
    assert more is not None
    assert more > (more_seeds(1.0, 0.6, 5) or 0)
    assert more_seeds(0.5, 1.0, 5) is not None
    assert more_seeds(0.5, 1.0, 5, overlap=0.25) is None
    assert more_seeds(1.0, 0.0, 5, overlap=0.25) is None
