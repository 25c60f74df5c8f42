"""The quantile of Student's t against scipy."""

import pytest
import scipy

from service.analysis.t_distribution import SERIES_LIMIT, t_quantile

FREEDOMS = [*range(1, 60), 99, 100, SERIES_LIMIT - 1, SERIES_LIMIT, SERIES_LIMIT + 1, 1000, 100_001]


@pytest.mark.parametrize("probability", [0.5, 0.6, 0.9, 0.95, 0.975, 0.995, 0.9999])
def test_the_quantile_is_that_of_scipy(probability: float) -> None:
    for freedom in FREEDOMS:
        expected = float(scipy.stats.t.ppf(probability, freedom))
        assert t_quantile(probability, freedom) == pytest.approx(expected, rel=1e-10, abs=1e-15), freedom


def test_the_figures_of_every_textbook() -> None:
    assert [round(t_quantile(0.975, freedom), 3) for freedom in (1, 2, 4, 9, 30)] == [
        12.706,
        4.303,
        2.776,
        2.262,
        2.042,
    ]


@pytest.mark.parametrize(("probability", "freedom"), [(0.4, 3), (1.0, 3), (0.975, 0)])
def test_what_it_cannot_do_is_refused(probability: float, freedom: int) -> None:
    with pytest.raises(ValueError, match="must be"):
        t_quantile(probability, freedom)
