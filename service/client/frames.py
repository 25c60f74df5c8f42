"""Points of runs as plain columns, one row per value, as data frames and files begin with."""

from collections.abc import Iterable, Mapping

import numpy as np

from service.client.arrays import floats, steps
from service.client.curves import Curve
from service.client.export import NAMES, Columns
from service.schemas.runs import RunView


def to_columns(run: RunView, experiment_name: str, curves: Mapping[str, Curve]) -> Columns:
    """Return every point of one run."""
    lengths = [len(curve) for curve in curves.values()]
    total = sum(lengths)
    return {
        "run": np.full(total, run.id, dtype=object),
        "experiment": np.full(total, run.experiment_id, dtype=object),
        "name": np.full(total, experiment_name, dtype=object),
        "seed": np.full(total, run.seed, dtype=np.int64),
        "series": np.repeat(np.array(list(curves), dtype=object), lengths),
        "step": np.concatenate([steps([]), *(curve.step for curve in curves.values())]),
        "value": np.concatenate([floats([]), *(curve.value for curve in curves.values())]),
    }


def concatenate(parts: Iterable[Columns]) -> Columns:
    """Return the columns of several runs, one below the other."""
    every = list(parts)
    return {name: np.concatenate([part[name] for part in every]) for name in NAMES} if every else {}
