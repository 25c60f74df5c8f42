"""Points of runs as plain columns, one row per value: what frames, files and spreadsheets begin with."""

import importlib
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from service.client.errors import Unusable
from service.client.following import floats, steps

if TYPE_CHECKING:
    from service.client.client import Client

Columns = dict[str, Any]  # name -> array, all of one length
NAMES = ("run", "experiment", "name", "seed", "series", "step", "value")


def library(name: str) -> Any:
    """A library that only some commands need; a sentence where it is not there."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError:
        raise Unusable(f"this needs {name}, which is not installed: pip install {name}") from None


def columns(client: "Client", run_id: str, names: Sequence[str] | None, known: dict[str, str]) -> Columns:
    """Every point of one run; `known` keeps experiments' names from one run to the next."""
    run = client.run(run_id)
    if run.experiment_id not in known:
        known[run.experiment_id] = client.experiment(run.experiment_id).name
    there = list(run.series) if names is None else [name for name in names if name in run.series]
    found = client.series(run_id, there) if there else {}
    lengths = [len(curve) for curve in found.values()]
    total = sum(lengths)
    return {
        "run": np.full(total, run.id, dtype=object),
        "experiment": np.full(total, run.experiment_id, dtype=object),
        "name": np.full(total, known[run.experiment_id], dtype=object),
        "seed": np.full(total, run.seed, dtype=np.int64),
        "series": np.repeat(np.array(list(found), dtype=object), lengths),
        "step": np.concatenate([steps([]), *(curve.step for curve in found.values())]),
        "value": np.concatenate([floats([]), *(curve.value for curve in found.values())]),
    }


def joined(parts: Iterable[Columns]) -> Columns:
    """The columns of several runs, one below the other."""
    every = list(parts)
    return {name: np.concatenate([part[name] for part in every]) for name in NAMES} if every else {}
