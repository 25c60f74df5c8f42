"""Synthetic datasets from formulas; random numbers come from numpy's legacy generator, whose stream never changes."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import erf

from worker.trainer.data.split import Arrays

Doubles = npt.NDArray[np.float64]
ACTIVATIONS: dict[str, Callable[[Doubles], Any]] = {"tanh": np.tanh, "relu": lambda z: np.maximum(z, 0.0), "erf": erf}


def _sample_curve(f: Callable[[Doubles], Doubles], rows: int, noise: float, draw: np.random.RandomState) -> Arrays:
    """Return x (N, 1) uniform in -1 to 1, and f(x) with noise."""
    x = draw.uniform(-1.0, 1.0, rows)
    y = f(x) + noise * draw.standard_normal(rows)
    return x[:, None], y


def absolute(rows: int = 1000, noise: float = 0.0, seed: int = 0) -> Arrays:
    """|x|."""
    return _sample_curve(np.abs, rows, noise, np.random.RandomState(seed))


def step(rows: int = 1000, noise: float = 0.0, seed: int = 0) -> Arrays:
    """1 above 0, else 0."""
    return _sample_curve(lambda x: (x > 0).astype(np.float64), rows, noise, np.random.RandomState(seed))


def sine(rows: int = 1000, noise: float = 0.0, seed: int = 0, frequency: float = 1.0) -> Arrays:
    """sin(pi frequency x): `frequency` waves between -1 and 1."""
    return _sample_curve(lambda x: np.sin(np.pi * frequency * x), rows, noise, np.random.RandomState(seed))


def sinusoids(
    rows: int = 1000,
    noise: float = 0.0,
    seed: int = 0,
    frequencies: Sequence[float] = (1.0, 2.0, 4.0, 8.0),
    amplitudes: Sequence[float] | None = None,
) -> Arrays:
    """A sum of waves; the phases are the generator's first draws."""
    draw = np.random.RandomState(seed)
    phases = draw.uniform(0.0, 2 * np.pi, len(frequencies))
    waves = list(zip(amplitudes or [1.0] * len(frequencies), frequencies, phases, strict=True))

    def total(x: Doubles) -> Doubles:
        summed: Doubles = np.sum([a * np.sin(np.pi * k * x + phase) for a, k, phase in waves], axis=0)
        return summed

    return _sample_curve(total, rows, noise, draw)


def xor(rows: int = 1000, noise: float = 0.0, seed: int = 0) -> Arrays:
    """x (N, 2); balanced classes, alternating."""
    draw = np.random.RandomState(seed)
    labels = np.arange(rows) % 2
    first, size = draw.uniform(-1.0, 1.0, rows), 1.0 - draw.uniform(0.0, 1.0, rows)  # never 0
    second = np.where((first > 0) == (labels == 1), -size, size)
    x = np.stack([first, second], axis=1) + noise * draw.standard_normal((rows, 2))
    return x, labels.astype(np.int64)


def spirals(rows: int = 1000, arms: int = 2, turns: float = 1.5, noise: float = 0.02, seed: int = 0) -> Arrays:
    """x (N, 2); rows evenly along the radius, arms alternating."""
    draw = np.random.RandomState(seed)
    labels = np.arange(rows) % arms
    radius = (np.arange(rows) // arms + 1) / (-(-rows // arms))
    angle = 2 * np.pi * (turns * radius + labels / arms)
    x = radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1) + noise * draw.standard_normal((rows, 2))
    return x, labels.astype(np.int64)


def teacher(
    rows: int = 2000,
    features: int = 20,
    hidden: int = 8,
    activation: str = "tanh",
    noise: float = 0.0,
    seed: int = 0,
) -> Arrays:
    """x (N, D) standard normal; the teacher's weights are the generator's first draws."""
    draw = np.random.RandomState(seed)
    inner = draw.standard_normal((features, hidden)) / np.sqrt(features)
    outer = draw.standard_normal(hidden) / np.sqrt(hidden)
    x = draw.standard_normal((rows, features))
    y = ACTIVATIONS[activation](x @ inner) @ outer + noise * draw.standard_normal(rows)
    return x, y


def noisy_quadratic(
    rows: int = 2000,
    features: int = 20,
    condition: float = 100.0,
    rotated: bool = False,
    noise: float = 0.1,
    seed: int = 0,
) -> Arrays:
    """x (N, D) with covariance H; y = w . x + noise with w standard normal, the generator's first draw."""
    draw = np.random.RandomState(seed)
    wanted = draw.standard_normal(features)
    x = draw.standard_normal((rows, features)) * np.sqrt(np.geomspace(1.0, 1.0 / condition, features))
    y = noise * draw.standard_normal(rows)
    if rotated:
        x = x @ np.linalg.qr(draw.standard_normal((features, features)))[0].T
    y += x @ wanted
    return x, y
