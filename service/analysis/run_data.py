"""The data of a run that the diagnosis reads: series, probe readings, and sibling runs."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from service.analysis.arrays import Counts, Steps, Values, series


@dataclass(frozen=True, eq=False)
class Series:
    """A curve, exact or in buckets: then `values` are means of the finite points, `low` and `high` their extremes."""

    steps: Steps  # the last step of each bucket
    values: Values  # NaN where nothing is finite
    low: Values
    high: Values
    nonfinite: Counts

    @classmethod
    def exact(cls, steps: npt.ArrayLike, values: npt.ArrayLike) -> "Series":
        """Return an exact series."""
        at, what = series(steps, values)
        finite = np.isfinite(what)
        known = np.where(finite, what, np.nan)
        return cls(at, known, known, known, (~finite).astype(np.int64))

    @classmethod
    def of_columns(cls, columns: Sequence[Any]) -> "Series":
        """Return a series from columns of buckets: last step, mean, min, max, number of non-finite values."""
        steps, mean, least, most, nonfinite = columns
        return cls(steps, mean, least, most, nonfinite)

    def __len__(self) -> int:
        return len(self.steps)

    @property
    def finite(self) -> "Series":
        """The points that have a value."""
        return self._where(np.isfinite(self.values))

    def between(self, first: float, last: float) -> "Series":
        """The points with first <= step <= last."""
        low, high = np.searchsorted(self.steps, first, "left"), np.searchsorted(self.steps, last, "right")
        return self._where(slice(low, high))

    def _where(self, chosen: Any) -> "Series":
        return Series(
            self.steps[chosen], self.values[chosen], self.low[chosen], self.high[chosen], self.nonfinite[chosen]
        )


@dataclass(frozen=True)
class Reading:
    """What a probe recorded at a step."""

    id: int
    step: int
    kind: str
    data: Mapping[str, Any]

    def number(self, key: str) -> float | None:
        """Return a finite number of the reading; None where it has none of this name."""
        found = self.data.get(key)
        if isinstance(found, bool) or not isinstance(found, int | float) or not math.isfinite(found):
            return None
        return float(found)


@dataclass(frozen=True)
class Sibling:
    """The final value of a seed of the experiment."""

    run_id: str
    seed: int
    final: float  # NaN where it has no value
