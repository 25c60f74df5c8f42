"""Points of a scrambled Sobol sequence."""

import numpy as np

from service.analysis.arrays import Values


def sobol_point(dimensions: int, seed: int, place: int) -> list[float]:
    """Return one point of [0, 1)^d, by its place in the sequence (Owen scrambling by `seed`)."""
    return [float(each) for each in sobol_points(dimensions, seed, 1, place)[0]]


def sobol_points(dimensions: int, seed: int, count: int, start: int = 0) -> Values:
    """Return `count` points from place `start` on, (count, d)."""
    from scipy.stats import qmc  # noqa: PLC0415  it takes 0.5 s, and few processes ask

    sequence = qmc.Sobol(dimensions, scramble=True, rng=np.random.default_rng(abs(seed)))
    if start:
        sequence.fast_forward(start)
    points: Values = sequence.random(count)
    return points
