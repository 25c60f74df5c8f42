"""CMA-ES on the unit cube (Hansen 2016, arXiv:1604.00772), its state computed from the points that were told."""

import copy
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from cmaes import CMA

Told = tuple[tuple[tuple[float, ...], float], ...]  # points with their losses, inf for the worst
SIGMA = 0.3  # standard deviation at the start


def sample(dimensions: int, population: int | None, told: Told, seed: int) -> list[float]:
    """Return a sample (d,) of the distribution after all whole generations of `told`; `dimensions` is at least 2."""
    size = population or default_population(dimensions)
    distribution = copy.deepcopy(_after(dimensions, size, told[: len(told) - len(told) % size]))
    distribution.reseed_rng(seed)
    return [float(each) for each in distribution.ask()]


def default_population(dimensions: int) -> int:
    """Return the usual number of points of a generation."""
    return 4 + int(3 * np.log(dimensions))


@lru_cache(maxsize=512)
def _after(dimensions: int, population: int, told: Told) -> "CMA":
    """Return the distribution after these generations; it starts in the middle of the cube."""
    if not told:
        from cmaes import CMA  # noqa: PLC0415

        bounds = np.array([[0.0, 1.0]] * dimensions)
        return CMA(np.full(dimensions, 0.5), SIGMA, bounds=bounds, population_size=population, seed=0)
    distribution = copy.deepcopy(_after(dimensions, population, told[:-population]))
    distribution.tell([(np.array(point), loss) for point, loss in told[-population:]])
    return distribution
