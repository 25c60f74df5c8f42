"""Rows as diseases alter them, on their way into a training: after the split and the scaling."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:  # it loads torch
    from worker.trainer.data.split import Split, Splits


def between(low: float, high: float, strength: float) -> float:
    """Interpolate a size geometrically, with three digits."""
    return float(f"{low * (high / low) ** strength:.3g}")


def stretch(splits: Splits, s: float, rng: np.random.Generator) -> Splits:
    """Bring each feature to a scale of its own, up to 10^(1..4) apart."""
    shape = splits.train.x.shape[1:]
    powers = rng.permutation(np.linspace(0, 1 + 3 * s, int(np.prod(shape)))).reshape(shape)
    scale = (10**powers).astype(splits.train.x.dtype)
    return _each(splits, lambda part: part._replace(x=np.asarray(part.x) * scale))


def constant_features(splits: Splits, s: float, rng: np.random.Generator) -> Splits:
    """Make features constant: four fifths of them at low strength, all from a half on."""
    shape = splits.train.x.shape[1:]
    size = int(np.prod(shape))
    kept = rng.permutation(size) >= min(size, round(size * (0.8 + 0.4 * s)))
    return _each(splits, lambda part: part._replace(x=np.where(kept.reshape(shape), part.x, part.x[:1] * 0 + 1)))


def enlarge_targets(splits: Splits, s: float, _: np.random.Generator) -> Splits:
    factor = between(20, 1e5, s) / max(float(np.std(splits.train.y)), 1e-9)
    return _each(splits, lambda part: part._replace(y=(part.y * factor).astype(part.y.dtype)))


def outlier_targets(splits: Splits, s: float, rng: np.random.Generator) -> Splits:
    y = np.array(splits.train.y)
    chosen = rng.choice(len(y), max(2, len(y) // 200), replace=False)
    y[chosen] *= between(30, 3000, s)
    return splits._replace(train=splits.train._replace(y=y))


def sort(splits: Splits, s: float, rng: np.random.Generator) -> Splits:
    """Sort the training rows by target; at low strength only within ten thousandths of noise."""
    ranks = np.argsort(np.argsort(splits.train.y, kind="stable"))
    noise = (1 - s) * 0.3 * len(ranks)
    return splits._replace(train=_rows(splits.train, np.argsort(ranks + noise * rng.normal(size=len(ranks)))))


def shift(splits: Splits, s: float, rng: np.random.Generator) -> Splits:
    """Move the features of the validation part by half a deviation up to five."""
    shape = splits.train.x.shape[1:]
    by = rng.choice([-1, 1], size=shape) * between(0.5, 5, s)
    spread = np.asarray(splits.train.x).std(0)
    x = (splits.validation.x + by * spread).astype(splits.validation.x.dtype)
    return splits._replace(validation=splits.validation._replace(x=x))


def leak(splits: Splits, s: float, rng: np.random.Generator) -> Splits:
    """Write the target into features of the training part; in the validation part they are drawn."""
    size = int(np.prod(splits.train.x.shape[1:]))
    places = rng.permutation(size)[: max(1, round(size * 0.1))]

    def written(part: Split, y: np.ndarray) -> Split:
        x = np.array(part.x)
        centred = (y - splits.train.y.mean()) / max(float(np.std(splits.train.y)), 1e-9)
        x.reshape(len(x), -1)[:, places] = (between(1, 10, s) * centred)[:, None]
        return part._replace(x=x)

    other = rng.permutation(splits.validation.y)
    return splits._replace(train=written(splits.train, splits.train.y), validation=written(splits.validation, other))


def thinned(splits: Splits, s: float, rng: np.random.Generator) -> Splits:
    """Keep only a twentieth down to a two-hundredth of every class but the first."""
    y = np.asarray(splits.train.y)
    rare = np.flatnonzero(y != y.min())
    few = rng.choice(rare, max(3, round(len(rare) * between(0.05, 0.002, s))), replace=False)
    order = rng.permutation(np.concatenate([np.flatnonzero(y == y.min()), few]))
    return splits._replace(train=_rows(splits.train, np.resize(order, len(y))))


def few_rows(splits: Splits, s: float, rng: np.random.Generator) -> Splits:
    """Train on a twentieth of the rows down to a hundredth, each of them many times."""
    rows = len(splits.train.y)
    few = rng.choice(rows, max(8, round(rows * between(0.05, 0.01, s))), replace=False)
    return splits._replace(train=_rows(splits.train, np.resize(few, rows)))


def broken_cells(splits: Splits, s: float, rng: np.random.Generator) -> Splits:
    x = np.array(splits.train.x)
    cells = x.reshape(-1)
    cells[rng.choice(cells.size, max(1, round(cells.size * 0.01 * s)), replace=False)] = np.nan
    return splits._replace(train=splits.train._replace(x=x))


def sentinels(splits: Splits, s: float, rng: np.random.Generator) -> Splits:
    """Write -999 in place of missing values: of a thousandth of the cells up to a tenth."""
    share = between(0.001, 0.1, s)

    def written(part: Split) -> Split:
        x = np.array(part.x)
        x[rng.random(x.shape) < share] = -999
        return part._replace(x=x)

    return splits._replace(train=written(splits.train), validation=written(splits.validation))


def _each(splits: Splits, change: Callable[[Split], Split]) -> Splits:
    def changed(part: Split) -> Split:
        new = change(part)
        return new._replace(x=np.asarray(new.x).astype(part.x.dtype))

    held = splits.validation
    return splits._replace(train=changed(splits.train), validation=changed(held) if len(held.y) else held)


def _rows(part: Split, order: np.ndarray) -> Split:
    return part._replace(x=np.asarray(part.x)[order], y=np.asarray(part.y)[order], numbers=None)
