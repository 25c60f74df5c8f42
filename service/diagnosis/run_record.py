"""What a diagnosis is drawn from: the plan, what is recorded of the run, and its state."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from service.analysis.recorded import Reading, Series, Sibling
from service.diagnosis.plan import Plan

ENDED = ("succeeded", "failed", "cancelled")


@dataclass(frozen=True, eq=False)
class RunRecord:
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
