"""What a diagnosis is based on: the plan, the recorded series and readings, and the run's state."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from service.analysis.run_data import Reading, Series, Sibling
from service.diagnosis.plan import Plan

ENDED = ("succeeded", "failed", "cancelled")


@dataclass(frozen=True, eq=False)
class RunRecord:
    """One run as recorded so far."""

    plan: Plan
    series: Mapping[str, Series]
    readings: Sequence[Reading] = ()  # oldest first
    state: str = "succeeded"
    step: int = 0
    failure: Mapping[str, Any] | None = None
    siblings: Sequence[Sibling] = ()  # seeds of the experiment that have ended, this run included
    final_of: str = "loss"  # the series that the siblings' final values are of
    origin: int = 0  # the step of another run's checkpoint that it started from; 0: it started untrained

    @property
    def ended(self) -> bool:
        """Whether the run has ended, so nothing is added any more."""
        return self.state in ENDED

    def get(self, name: str) -> Series | None:
        """Return the finite points of a series; None where there are none."""
        found = self.series.get(name)
        found = None if found is None else found.finite
        return found if found is not None and len(found) else None

    def layers(self, prefix: str) -> dict[str, Series]:
        """Return the series `prefix/<layer>` by layer, in the model's order where that is known."""
        found = {name[len(prefix) + 1 :]: self.get(name) for name in self.series if name.startswith(f"{prefix}/")}
        known = {path: place for place, path in enumerate(self.plan.paths)}
        names = sorted(found, key=lambda path: (known.get(path, len(known)), path))
        return {name: curve for name in names if (curve := found[name]) is not None}

    def reading(self, kind: str) -> Reading | None:
        """Return the newest reading of a kind."""
        return next((each for each in reversed(self.readings) if each.kind == kind), None)
