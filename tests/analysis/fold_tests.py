"""How often a paired t test over folds finds a difference between two equally good models: plain, and corrected.

    python -m tests.analysis.fold_tests

Each trial is a fresh dataset of 60 rows, whose class is the sign of a noisy sum of six features. Each model is a
nearest neighbour in half of the features, so that both err equally often in the mean over datasets: whatever a test
finds is a false positive.
"""

from collections.abc import Iterator

import numpy as np

from service.analysis.arrays import Values
from service.analysis.significance import overlap_of, t_tests

ROWS, FEATURES, NOISE, LEVEL = 60, 3, 1.0, 0.05


def differences(trials: int, folds: int, repeats: int, seed: int) -> Values:
    """Return the differences (trials, folds x repeats) between the validation errors of two equally good models."""
    draw = np.random.default_rng(seed)
    x = draw.standard_normal((trials, ROWS, 2 * FEATURES))
    label = x.sum(axis=2) + NOISE * draw.standard_normal((trials, ROWS)) > 0
    apart = [_distances(half) for half in (x[:, :, :FEATURES], x[:, :, FEATURES:])]
    found = []
    for _ in range(repeats):
        fold_of = draw.permuted(np.tile(np.arange(ROWS) % folds, (trials, 1)), axis=1)
        for fold in range(folds):
            errors = [_error(each, label, fold_of == fold) for each in apart]
            found.append(errors[0] - errors[1])
    return np.stack(found, axis=1)


def _distances(x: Values) -> Values:
    """Return the squared distances of all pairs, (trials, rows, rows), of x (trials, rows, features)."""
    norms = (x**2).sum(axis=2)
    found: Values = norms[:, :, None] + norms[:, None, :] - 2 * x @ x.transpose(0, 2, 1)
    return found


def _error(apart: Values, label: np.ndarray, held_out: np.ndarray) -> Values:
    """Return the share of the held-out rows whose nearest training row has another class, (trials,)."""
    nearest = np.where(held_out[:, None, :], np.inf, apart).argmin(axis=2)
    wrong = np.take_along_axis(label, nearest, axis=1) != label
    found: Values = (wrong & held_out).sum(axis=1) / held_out.sum(axis=1)
    return found


def false_positives(trials: int, folds: int, repeats: int, seed: int = 0) -> tuple[float, float]:
    """Return the shares of the trials in which the plain and the corrected test find a difference at `LEVEL`."""
    drawn = differences(trials, folds, repeats, seed)
    there = np.ones(drawn.shape, dtype=np.bool_)
    tests = (t_tests(drawn, there, overlap) for overlap in (0.0, overlap_of(folds)))
    plain, corrected = (float(np.mean([p is not None and p < LEVEL for p in found])) for found in tests)
    return plain, corrected


def report() -> Iterator[str]:
    """Yield the table."""
    yield "folds  repeats  plain  corrected"
    for folds, repeats in ((5, 1), (10, 1), (5, 2), (5, 4)):
        found = np.mean([false_positives(1000, folds, repeats, seed) for seed in range(10)], axis=0)
        yield f"{folds:5}  {repeats:7}  {found[0]:5.3f}  {found[1]:9.3f}"


if __name__ == "__main__":
    for line in report():
        print(line, flush=True)
