"""Curves of many series side by side, ready to be written in any form."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from service.db.metrics.range_query import Buckets, Points

Column = npt.NDArray[np.float64] | npt.NDArray[np.int64]
Method = Literal["none", "buckets"]
EXACT = ("step", "value")
REDUCED = ("first_step", "last_step", "min", "max", "mean", "last", "count", "nonfinite")
SPELLED = ("value", "last")  # a NaN in these is a value; in min, max and mean it says that there was nothing finite


class Key(NamedTuple):
    """Whose curve it is; `per_epoch` where epochs are wanted: steps in one."""

    run_id: str
    name: str
    per_epoch: float | None = None


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


def of_points(keys: Sequence[Key], found: Points, wanted: Sequence[str] | None = None) -> Curves:
    """The exact curves."""
    columns: dict[str, Column] = {"step": found.steps, "value": found.values}
    return Curves(keys, found.bounds, _chosen(_with_epochs(keys, found.bounds, columns, "step"), wanted), "none", 1)


def of_buckets(keys: Sequence[Key], found: Buckets, wanted: Sequence[str] | None = None, keep: bool = False) -> Curves:
    """The reduced curves; exact ones where every bucket turns out to hold one point, unless they are to be kept."""
    if found.exact and not keep:
        steps, values = found.columns["last_step"], found.columns["last"]
        return of_points(keys, Points(steps.astype(np.int64), values.astype(np.float64), found.bounds), wanted)
    columns = _with_epochs(keys, found.bounds, dict(found.columns), "last_step")
    return Curves(keys, found.bounds, _chosen(columns, wanted), "buckets", 2**found.level)


def needed(wanted: Sequence[str] | None) -> tuple[str, ...]:
    """The columns to read: those wanted, in their order here, and what an exact curve is made of."""
    return tuple(name for name in REDUCED if wanted is None or name in (*wanted, "last_step", "last"))


def _with_epochs(
    keys: Sequence[Key], bounds: npt.NDArray[np.int64], columns: dict[str, Column], step: str
) -> dict[str, Column]:
    if not keys or keys[0].per_epoch is None:
        return columns
    per_epoch = np.repeat([key.per_epoch or np.nan for key in keys], np.diff(bounds))
    return {"epoch": columns[step] / per_epoch, **columns}


def _chosen(columns: dict[str, Column], wanted: Sequence[str] | None) -> dict[str, Column]:
    """Those asked for; exact curves have few, and are sent whole."""
    if wanted is None or "value" in columns:
        return columns
    return {name: column for name, column in columns.items() if name in wanted or name == "epoch"}


def behind(parts: Sequence[Curves]) -> Curves:
    """Several groups of curves as one; all exact, or all of one width."""
    if len(parts) == 1:
        return parts[0]
    columns = {name: np.concatenate([part.columns[name] for part in parts]) for name in parts[0].columns}
    sizes = np.concatenate([np.diff(part.bounds) for part in parts])
    bounds = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    keys = [key for part in parts for key in part.keys]
    return Curves(keys, bounds, columns, parts[0].method, parts[0].bucket_steps)
