"""Bootstrap intervals against scipy, against every resample written out, and against what they promise."""

import itertools
import math
from collections.abc import Sequence

import numpy as np
import pytest
import scipy

from service.analysis.arrays import Values
from service.analysis.bootstrap import EXACT, Interval, bootstrap_means


def bootstrap_mean(values: Sequence[float] | Values) -> Interval | None:
    return bootstrap_means([values])[0]


SKEWED = [0.11, 0.12, 0.13, 0.17, 0.41]


@pytest.mark.parametrize("n", [5, EXACT, EXACT + 1, 30])
def test_the_interval_is_that_of_scipy(n: int) -> None:
    values = np.random.default_rng(n).exponential(size=n)
    interval = bootstrap_mean(values)
    theirs = scipy.stats.bootstrap(
        (values,), np.mean, n_resamples=50_000, rng=np.random.default_rng(0)
    ).confidence_interval
    assert interval == pytest.approx(tuple(theirs), abs=0.1 * float(values.std()))


def test_few_values_are_resampled_in_every_way_there_is() -> None:
    means = np.sort([np.mean(pick) for pick in itertools.product(SKEWED, repeat=5)])
    centre, x = np.mean(SKEWED), np.array(SKEWED) - np.mean(SKEWED)
    bias = scipy.stats.norm.ppf((np.mean(means < centre - 1e-12) + np.mean(means < centre + 1e-12)) / 2)
    a = (x**3).sum() / (6 * (x**2).sum() ** 1.5)
    shares = [
        scipy.stats.norm.cdf(bias + (bias + z) / (1 - a * (bias + z))) for z in scipy.stats.norm.ppf([0.025, 0.975])
    ]
    expected = [means[math.ceil(share * len(means) - 1e-9) - 1] for share in shares]
    assert bootstrap_mean(SKEWED) == pytest.approx(tuple(expected))


def test_many_samples_at_once_are_each_as_alone() -> None:
    samples = [np.array(SKEWED), np.array([1.0]), np.array([2.0, 3.0]), np.array(SKEWED) * 1e300, np.array([])]
    together = bootstrap_means(samples)
    for sample, interval in zip(samples, together, strict=True):
        alone = bootstrap_mean(sample)
        assert interval == (None if alone is None else pytest.approx(alone))
    assert together[1] is None
    assert together[4] is None
    assert together[3] == pytest.approx([1e300 * end for end in together[0] or ()])


def test_values_without_spread_are_their_own_interval() -> None:
    assert bootstrap_mean([0.3] * 5) == pytest.approx((0.3, 0.3), abs=1e-15)
    assert bootstrap_mean([0.0, 0.0]) == (0.0, 0.0)


def test_the_interval_covers_the_mean_about_as_often_as_it_says() -> None:
    drawn = np.random.default_rng(1).normal(size=(2000, 20))
    found = bootstrap_means(list(drawn))
    covered = np.mean([interval is not None and interval[0] <= 0 <= interval[1] for interval in found])
    assert 0.91 <= covered <= 0.96  # 20 normal values: known to fall a little short of 0.95


def test_a_level_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="level must be"):
        bootstrap_means([[1.0, 2.0]], 1.0)
