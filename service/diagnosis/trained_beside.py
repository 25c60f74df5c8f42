"""The losses of what was trained beside a run, as the probe learnability records them: what learned, and what more."""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from service.analysis.arrays import Values
from service.analysis.run_data import Reading
from service.diagnosis.run_record import RunRecord
from service.diagnosis.thresholds import limit


@dataclass(frozen=True)
class Compared:
    """The losses of the probe's trainings on the same rows."""

    reading: Reading
    floor: float | None  # of the loss

    @property
    def judged(self) -> str:
        """The part that trainings are compared on."""
        return str(self.reading.data["judged"])

    def entry(self, who: str) -> dict[str, Any]:
        """Return what is recorded of constant, run, same, other or control; empty: nothing."""
        return self.reading.data.get(who) or {}

    def groups(self, who: str, part: str) -> Values:
        """Return the losses of groups of rows; infinite where they are not finite."""
        given = self.entry(who).get("groups", {}).get(part, [])
        found = np.array([math.inf if isinstance(each, str) else each for each in given], dtype=np.float64)
        return np.where(np.isfinite(found), found, math.inf)

    def taken_over(self, who: str) -> dict[str, Any]:
        """Return the `run` of the same pack beside which other or same was trained, and its `seed` if it differs."""
        found: dict[str, Any] = self.reading.data.get("measured_beside", {}).get(who, {})
        return found

    def loss(self, who: str, part: str | None = None) -> float:
        """Return a mean loss; infinite where it is unknown or not finite."""
        found = self.groups(who, part or self.judged)
        return float(found.mean()) if len(found) else math.inf

    def gain(self, who: str, part: str | None = None) -> float:
        """Return how far a loss is below that of the constant answer."""
        return self.loss("constant", part) - self.loss(who, part)

    def apart(self, who: str, over: str, part: str | None = None) -> Values:
        """Return by how much the losses of groups are below another's; empty if they are not finite."""
        better, worse = self.groups(who, part or self.judged), self.groups(over, part or self.judged)
        known = len(better) == len(worse) and bool(np.isfinite(better).all())
        return worse - better if known else np.array([])

    def significant(self, who: str, over: str, part: str | None = None) -> bool:
        """Whether a loss is below another's by more than the noise of the rows; groups are paired."""
        apart, errors = self.apart(who, over, part), limit("R29.errors")
        if not len(apart) or np.isinf(apart).any():
            return bool(len(apart))
        n = len(apart)
        signs = float((apart > 0).sum()) - n / 2  # of a few huge losses the standard error is as large as the mean
        return float(apart.mean()) > errors * standard_error(apart) or signs > errors * math.sqrt(n) / 2

    def learns_nothing(self, who: str) -> bool:
        """Whether it surely learned nothing that holds: the most that the noise of the rows allows is little."""
        apart = self.apart(who, "constant")
        if not len(apart):
            return True
        gain, noise = float(apart.mean()), limit("R29.errors") * standard_error(apart)
        return gain + noise < limit("any.learned_little") * self.scale or gain < -noise

    @cached_property
    def scale(self) -> float:
        """The way from the constant answer to the minimum, or to the best loss here where that is unknown."""
        best = max(self.gain(who) for who in ("run", "same", "other"))
        whole = best if self.floor is None else self.loss("constant") - self.floor
        return whole if whole > 0 and math.isfinite(whole) else 1.0

    def learned(self, who: str, part: str | None = None) -> bool:
        """Whether it learned something that holds on these rows."""
        little = limit("any.learned_little") * self.scale if self.floor is not None else 0.0
        return self.gain(who, part) > little and self.significant(who, "constant", part)

    def more(self, who: str, over: str = "run") -> bool:
        """Whether it learned, and reached clearly more, on the rows that it was fitted to and on others."""
        return self.learned(who) and all(
            self.significant(who, over, part) and self.gain(over, part) < limit("R29.most") * self.gain(who, part)
            for part in dict.fromkeys((self.judged, "train"))
        )

    def holds_better(self, who: str) -> bool:
        """Whether it reached clearly more on rows that it was not fitted to, whatever it reached on the others."""
        enough = self.gain("run") >= limit("R29.most") * self.gain(who)
        return self.learned(who) and self.significant(who, "run") and not enough

    def tried(self, who: str) -> bool:
        """Whether it was trained long enough to say that it cannot learn; what is counted takes no steps."""
        entry = self.entry(who)
        return bool(entry) and (entry["steps"] >= limit("R29.steps") or entry.get("complete", True))

    def said(self, who: str) -> str:
        """Return a share, or a loss where there is no scale."""
        if self.floor is None:
            return f"a loss of {self.loss(who):.4g}"
        return f"{max(0.0, self.gain(who) / self.scale):.0%} of the way"


def standard_error(values: Values) -> float:
    """Return the standard error of the mean; 0 of a single value."""
    return float(values.std(ddof=1) / math.sqrt(len(values))) if len(values) > 1 else 0.0


def compared(record: RunRecord) -> Compared | None:
    """Return the probe's comparison with the run as it is now, if it was made."""
    reading = record.reading("learnability")
    if reading is None or "judged" not in reading.data or reading.step != record.step:
        return None
    return Compared(reading, record.plan.floor)
