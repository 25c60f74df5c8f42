"""Datasets that scikit-learn generates; it draws from numpy's legacy generator, whose stream never changes."""

from typing import Any

import numpy as np
from sklearn import datasets as sk

from worker.trainer.data.split import Arrays


def _to_arrays(made: Any, dtype: type[np.generic]) -> Arrays:
    """Return x (N, D) as float64 and y (N,) as `dtype`."""
    x, y = made[0], made[1]
    return x, y.astype(dtype)


def moons(rows: int = 1000, noise: float = 0.1, seed: int = 0) -> Arrays:
    """x (N, 2); two classes."""
    return _to_arrays(sk.make_moons(rows, noise=noise, random_state=seed), np.int64)


def circles(rows: int = 1000, noise: float = 0.05, factor: float = 0.5, seed: int = 0) -> Arrays:
    """x (N, 2); 0 outside, 1 inside."""
    return _to_arrays(sk.make_circles(rows, noise=noise, factor=factor, random_state=seed), np.int64)


def blobs(rows: int = 1000, features: int = 2, classes: int = 3, spread: float = 1.0, seed: int = 0) -> Arrays:
    """x (N, D)."""
    return _to_arrays(sk.make_blobs(rows, features, centers=classes, cluster_std=spread, random_state=seed), np.int64)


def classification(
    rows: int = 1000,
    features: int = 20,
    informative: int = 5,
    redundant: int = 2,
    classes: int = 2,
    clusters: int = 2,
    separation: float = 1.0,
    wrong: float = 0.01,
    seed: int = 0,
) -> Arrays:
    """x (N, D); the features are in random order."""
    made = sk.make_classification(
        rows,
        features,
        n_informative=informative,
        n_redundant=redundant,
        n_classes=classes,
        n_clusters_per_class=clusters,
        class_sep=separation,
        flip_y=wrong,
        random_state=seed,
    )
    return _to_arrays(made, np.int64)


def regression(
    rows: int = 1000,
    features: int = 20,
    informative: int = 10,
    rank: int | None = None,
    noise: float = 1.0,
    seed: int = 0,
) -> Arrays:
    """x (N, D)."""
    made = sk.make_regression(
        rows, features, n_informative=informative, effective_rank=rank, noise=noise, random_state=seed
    )
    return _to_arrays(made, np.float64)


def friedman1(rows: int = 1000, noise: float = 1.0, seed: int = 0, features: int = 10) -> Arrays:
    """x (N, D)."""
    return _to_arrays(sk.make_friedman1(rows, features, noise=noise, random_state=seed), np.float64)


def friedman2(rows: int = 1000, noise: float = 1.0, seed: int = 0) -> Arrays:
    """x (N, 4)."""
    return _to_arrays(sk.make_friedman2(rows, noise=noise, random_state=seed), np.float64)


def friedman3(rows: int = 1000, noise: float = 0.1, seed: int = 0) -> Arrays:
    """x (N, 4)."""
    return _to_arrays(sk.make_friedman3(rows, noise=noise, random_state=seed), np.float64)


def swiss_roll(rows: int = 1000, noise: float = 0.1, seed: int = 0) -> Arrays:
    """x (N, 3); 4.7 to 14.1."""
    return _to_arrays(sk.make_swiss_roll(rows, noise=noise, random_state=seed), np.float64)


def s_curve(rows: int = 1000, noise: float = 0.1, seed: int = 0) -> Arrays:
    """x (N, 3); -4.7 to 4.7."""
    return _to_arrays(sk.make_s_curve(rows, noise=noise, random_state=seed), np.float64)
