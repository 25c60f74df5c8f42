"""What a diagnosis is drawn from: the plan, the recorded series, readings of instruments, and how the run stands."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from service.analysis.arrays import Counts, Steps, Values, series
from service.analysis.diagnosis.plan import Plan
from service.analysis.reduce import Reduced

ENDED = ("succeeded", "failed", "cancelled")


@dataclass(frozen=True, eq=False)
class Series:
    """A curve, exact or in buckets: `values` are then means of what is finite, `low` and `high` the extremes."""

    steps: Steps  # of a bucket its last step
    values: Values  # NaN where nothing is finite
    low: Values
    high: Values
    nonfinite: Counts

    @classmethod
    def exact(cls, steps: npt.ArrayLike, values: npt.ArrayLike) -> "Series":
        """Every point."""
        at, what = series(steps, values)
        finite = np.isfinite(what)
        known = np.where(finite, what, np.nan)
        return cls(at, known, known, known, (~finite).astype(np.int64))

    @classmethod
    def of_columns(cls, columns: Sequence[Any]) -> "Series":
        """Buckets that keep extremes: last step, mean, least, largest, how many were no numbers."""
        steps, mean, least, most, nonfinite = columns
        return cls(steps, mean, least, most, nonfinite)

    @classmethod
    def reduced(cls, found: Reduced) -> "Series":
        """The same from a reduced curve."""
        return cls.of_columns((found.last_step, found.mean, found.min, found.max, found.nonfinite))

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
    """What an instrument said at a step."""

    id: int
    step: int
    kind: str
    data: Mapping[str, Any]

    def number(self, key: str) -> float | None:
        """A finite number of it; None where there is none."""
        found = self.data.get(key)
        if isinstance(found, bool) or not isinstance(found, int | float) or not math.isfinite(found):
            return None
        return float(found)


@dataclass(frozen=True)
class Sibling:
    """Another seed of the same experiment, or the run itself: what it came to."""

    run_id: str
    seed: int
    final: float  # NaN where it has no value


@dataclass(frozen=True, eq=False)
class Facts:
    """One run as it stands."""

    plan: Plan
    series: Mapping[str, Series]
    readings: Sequence[Reading] = ()  # oldest first
    state: str = "succeeded"
    step: int = 0
    failure: Mapping[str, Any] | None = None
    siblings: Sequence[Sibling] = ()  # those that have ended, the run itself among them
    final_of: str = "loss"  # the series that the siblings' final values are of
    origin: int = 0  # the step of the checkpoint it began from, another run's; 0: it began untrained
    stopped: bool = field(default=False)  # by a rule of the spec, before its last step

    @property
    def ended(self) -> bool:
        """Whether nothing will be added."""
        return self.state in ENDED

    def get(self, name: str) -> Series | None:
        """A series without its points that are no numbers; None where nothing is left."""
        found = self.series.get(name)
        found = None if found is None else found.finite
        return found if found is not None and len(found) else None

    def layers(self, prefix: str) -> dict[str, Series]:
        """Layer -> its series `prefix/<layer>`, in the model's order where that is known."""
        found = {name[len(prefix) + 1 :]: self.get(name) for name in self.series if name.startswith(f"{prefix}/")}
        known = {path: place for place, path in enumerate(self.plan.paths)}
        names = sorted(found, key=lambda path: (known.get(path, len(known)), path))
        return {name: curve for name in names if (curve := found[name]) is not None}

    def reading(self, kind: str) -> Reading | None:
        """The newest of a kind."""
        return next((each for each in reversed(self.readings) if each.kind == kind), None)
