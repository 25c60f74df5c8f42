"""Parts of a dataset: which rows train, validate and test, and how they are scaled.

Membership depends on `split_seed` alone, through numpy's legacy generator, whose stream numpy promises never to change.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from service.spec.datasets import Dataset_
from worker.build import build

Floats = npt.NDArray[np.float32]
Arrays = tuple[Floats, npt.NDArray[Any]]  # what a dataset's target gives: x (N, *shape), y (N,)
Indices = npt.NDArray[np.intp]


class Rows(NamedTuple):
    """x (N, *shape) float32 and y (N,): int64 labels or float32 values."""

    x: Floats
    y: npt.NDArray[Any]


class Parts(NamedTuple):
    """The three parts; no row is in two of them."""

    train: Rows
    validation: Rows
    test: Rows


_loaded: dict[tuple[Any, ...], Arrays] = {}


def load(dataset: Dataset_) -> Arrays:
    """The dataset's rows as its source gives them, read once a process: a reused trainer starts in milliseconds."""
    key = (dataset.target, *sorted(dataset.kwargs().items()))
    if key not in _loaded:
        x, y = build(dataset)
        if x.shape != (dataset.facts.rows, *dataset.facts.shape):
            raise ValueError(f"{dataset.target} gave rows of shape {x.shape}, not as its facts say")
        x.flags.writeable = y.flags.writeable = False  # shared by every run of this process
        _loaded[key] = x, y
    return _loaded[key]


def split(dataset: Dataset_) -> Parts:
    """Exactly `dataset.counts` rows in each part, classes in proportion, scaled by what the training part says."""
    x, y = load(dataset)
    parts = [Rows(x[rows], y[rows]) for rows in indices(y, dataset.counts, dataset.split_seed, dataset.facts.classes)]
    if dataset.standardize:
        mean, deviation = scale_of(parts[0].x)
        parts = [Rows(_scaled(part.x, mean, deviation), part.y) for part in parts]
    if getattr(dataset, "standardize_target", False):
        mean, deviation = scale_of(parts[0].y)
        parts = [Rows(part.x, _scaled(part.y, mean, deviation)) for part in parts]
    return Parts(*parts)


def indices(y: npt.NDArray[Any], counts: tuple[int, int, int], seed: int, classes: int) -> tuple[Indices, ...]:
    """Row numbers of the training, validation and test part; `classes` 0: not stratified."""
    order = np.random.RandomState(seed).permutation(len(y))
    groups = [order[y[order] == label] for label in range(classes)] if classes else [order]
    sizes = [len(group) for group in groups]
    test = shares(sizes, counts[2])
    validation = shares([size - taken for size, taken in zip(sizes, test, strict=True)], counts[1])
    parts: tuple[list[Indices], ...] = ([], [], [])
    for group, for_test, for_validation in zip(groups, test, validation, strict=True):
        pieces = np.split(group, [for_test, for_test + for_validation])
        for part, piece in zip(parts, (pieces[2], pieces[1], pieces[0]), strict=True):
            part.append(piece)
    return tuple(np.sort(np.concatenate(part)) for part in parts)


def shares(sizes: list[int], total: int) -> list[int]:
    """`total` split in proportion to `sizes` by largest remainder; at least one each where there are that many."""
    ideal = [total * size / sum(sizes) for size in sizes]
    least = 1 if total >= len(sizes) else 0
    given = [max(int(share), least) for share in ideal]
    while sum(given) < total:
        given[_argmax([want - has for want, has in zip(ideal, given, strict=True)])] += 1
    while sum(given) > total:
        spare = [has - want if has > least else -np.inf for want, has in zip(ideal, given, strict=True)]
        given[_argmax(spare)] -= 1
    return given


def _argmax(values: list[float]) -> int:
    return values.index(max(values))


def scale_of(rows: npt.NDArray[Any]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Mean and standard deviation (divisor N) per column in float64; a constant column is divided by 1."""
    wide = rows.astype(np.float64)
    constant = rows.max(axis=0) == rows.min(axis=0)
    return wide.mean(axis=0), np.where(constant, 1.0, wide.std(axis=0))


def _scaled(rows: npt.NDArray[Any], mean: npt.NDArray[np.float64], deviation: npt.NDArray[np.float64]) -> Floats:
    return ((rows - mean) / deviation).astype(np.float32)
