"""Sobol points and CMA-ES, against the libraries that they come from."""

import numpy as np
import pytest

from service.analysis.cma_es import default_population, sample
from service.analysis.sobol import sobol_point, sobol_points


def test_a_sobol_point_is_the_same_alone_and_among_others() -> None:
    points = sobol_points(4, 7, 32)
    assert [sobol_point(4, 7, place) for place in range(32)] == points.tolist()


def test_sobol_points_are_optunas() -> None:
    """Optuna's sampler starts from the same sequence of scipy."""
    from scipy.stats import qmc

    theirs = qmc.Sobol(3, scramble=True, rng=np.random.default_rng(5)).random(16)
    assert sobol_points(3, 5, 16).tolist() == theirs.tolist()


def test_the_state_of_cma_es_is_that_of_the_package_told_one_generation_after_the_other() -> None:
    from cmaes import CMA

    dimensions, size = 3, default_population(3)
    theirs = CMA(np.full(3, 0.5), 0.3, bounds=np.array([[0.0, 1.0]] * 3))
    assert theirs.population_size == size
    generator = np.random.default_rng(0)
    told = tuple((tuple(map(float, row)), float(row @ row)) for row in generator.random((5 * size + 3, dimensions)))
    for at in range(5):
        theirs.tell([(np.array(point), loss) for point, loss in told[at * size : (at + 1) * size]])
    theirs.reseed_rng(9)
    assert sample(dimensions, None, told, 9) == pytest.approx(theirs.ask().tolist(), rel=1e-12)
    assert sample(dimensions, None, told, 9) == sample(dimensions, None, told, 9)


def test_cma_es_comes_to_the_minimum() -> None:
    told: tuple[tuple[tuple[float, ...], float], ...] = ()
    for seed in range(200):
        point = tuple(sample(2, None, told, seed))
        told += ((point, (point[0] - 0.2) ** 2 + 10 * (point[1] - 0.7) ** 2),)
    assert min(loss for _, loss in told) < 1e-5
