"""Curves of many series side by side, ready to be written in any form."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from service.db.metrics.range_query import Buckets, Points

Column = npt.NDArray[np.float64] | npt.NDArray[np.int64]
Method = Literal["none", "buckets"]
REDUCED = ("first_step", "last_step", "min", "max", "mean", "last", "count", "nonfinite")
NAN_IS_A_VALUE = ("value", "last")  # in min, max and mean NaN means that nothing was finite


class Key(NamedTuple):
    """Run and name of a series; `per_epoch`, where epochs are wanted, is the steps of one."""

    run_id: str
    name: str
    per_epoch: float | None = None


Piece = tuple[Key, dict[str, Column]]  # one series


@dataclass(frozen=True, eq=False)
class Curves:
    """Series i is named keys[i] and lies between bounds[i] and bounds[i + 1] of every column."""

    keys: Sequence[Key]
    bounds: npt.NDArray[np.int64]
    columns: Mapping[str, Column]
    method: Method
    bucket_steps: int

    @property
    def longest(self) -> int:
        """Entries of the longest series."""
        return int(np.diff(self.bounds).max(initial=0))

    @property
    def reduction(self) -> dict[str, str | int]:
        """How the curves were reduced."""
        return {"method": self.method, "bucket_steps": self.bucket_steps, "points": self.longest}


def exact_curves(keys: Sequence[Key], found: Points, wanted: Sequence[str] | None = None) -> Curves:
    """Return exact curves."""
    columns: dict[str, Column] = {"step": found.steps, "value": found.values}
    return Curves(keys, found.bounds, _select(_with_epochs(keys, found.bounds, columns, "step"), wanted), "none", 1)


def reduced_curves(
    keys: Sequence[Key], found: Buckets, wanted: Sequence[str] | None = None, keep: bool = False
) -> Curves:
    """Return reduced curves; exact ones if every bucket holds one point, unless `keep`."""
    if found.exact and not keep:
        steps, values = found.columns["last_step"], found.columns["last"]
        return exact_curves(keys, Points(steps.astype(np.int64), values.astype(np.float64), found.bounds), wanted)
    columns = _with_epochs(keys, found.bounds, dict(found.columns), "last_step")
    return Curves(keys, found.bounds, _select(columns, wanted), "buckets", 2**found.level)


def columns_to_read(wanted: Sequence[str] | None) -> tuple[str, ...]:
    """Return the wanted columns in the order of REDUCED, with those that an exact curve needs."""
    return tuple(name for name in REDUCED if wanted is None or name in (*wanted, "last_step", "last"))


def _with_epochs(
    keys: Sequence[Key], bounds: npt.NDArray[np.int64], columns: dict[str, Column], step: str
) -> dict[str, Column]:
    if not keys or keys[0].per_epoch is None:
        return columns
    per_epoch = np.repeat([key.per_epoch or np.nan for key in keys], np.diff(bounds))
    return {"epoch": columns[step] / per_epoch, **columns}


def _select(columns: dict[str, Column], wanted: Sequence[str] | None) -> dict[str, Column]:
    """Return the wanted columns; exact curves have few and keep them all."""
    if wanted is None or "value" in columns:
        return columns
    return {name: column for name, column in columns.items() if name in wanted or name == "epoch"}


def concatenate(parts: Sequence[Curves]) -> Curves:
    """Join groups of curves that are all exact, or all of one bucket width."""
    if len(parts) == 1:
        return parts[0]
    columns = {name: np.concatenate([part.columns[name] for part in parts]) for name in parts[0].columns}
    sizes = np.concatenate([np.diff(part.bounds) for part in parts])
    bounds = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    keys = [key for part in parts for key in part.keys]
    return Curves(keys, bounds, columns, parts[0].method, parts[0].bucket_steps)
