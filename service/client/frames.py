"""Points of runs as plain columns, one row per value: what frames, files and spreadsheets begin with."""

import importlib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from service.client.curves import Curve
from service.client.errors import Unusable
from service.client.following import floats, steps
from service.client.views import Run

Columns = dict[str, Any]  # name -> array, all of one length
NAMES = ("run", "experiment", "name", "seed", "series", "step", "value")


def library(name: str) -> Any:
    """A library that only some commands need; a sentence where it is not there."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError:
        raise Unusable(f"this needs {name}, which is not installed: pip install {name}") from None


def columns(run: Run, name: str, found: Mapping[str, Curve]) -> Columns:
    """Every point of one run; `name` is its experiment's."""
    lengths = [len(curve) for curve in found.values()]
    total = sum(lengths)
    return {
        "run": np.full(total, run.id, dtype=object),
        "experiment": np.full(total, run.experiment_id, dtype=object),
        "name": np.full(total, name, dtype=object),
        "seed": np.full(total, run.seed, dtype=np.int64),
        "series": np.repeat(np.array(list(found), dtype=object), lengths),
        "step": np.concatenate([steps([]), *(curve.step for curve in found.values())]),
        "value": np.concatenate([floats([]), *(curve.value for curve in found.values())]),
    }


def joined(parts: Iterable[Columns]) -> Columns:
    """The columns of several runs, one below the other."""
    every = list(parts)
    return {name: np.concatenate([part[name] for part in every]) for name in NAMES} if every else {}
