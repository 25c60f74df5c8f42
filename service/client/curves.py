"""Curves of a run as numpy arrays: every point, or buckets that keep every extreme."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from service.client.following import Event, Floats, Points, Steps, floats, steps


@dataclass(frozen=True)
class Curve:
    """One series. Exact: `step`, `value`. Reduced: an entry per bucket, its last step and its last value."""

    step: Steps
    value: Floats
    exact: bool = True
    epoch: Floats | None = None
    first_step: Steps | None = None
    min: Floats | None = None
    max: Floats | None = None
    mean: Floats | None = None
    count: Steps | None = None
    nonfinite: Steps | None = None

    def __len__(self) -> int:
        return len(self.step)

    @classmethod
    def of(cls, view: Mapping[str, Any]) -> "Curve":
        """From the columns of an answer; null (no finite value in a bucket) is NaN."""
        epoch = floats(view["epoch"]) if view.get("epoch") is not None else None
        if view.get("step") is not None:
            return cls(steps(view["step"]), floats(view["value"]), epoch=epoch)
        return cls(
            steps(view["last_step"]),
            floats(view["last"]),
            False,
            epoch,
            steps(view["first_step"]),
            floats(view["min"]),
            floats(view["max"]),
            floats(view["mean"]),
            steps(view["count"]),
            steps(view["nonfinite"]),
        )


class Live:
    """The curves of a run that is followed, as its events tell them; a cut takes back what is computed again."""

    def __init__(self) -> None:
        self._parts: dict[str, list[Points]] = {}

    def take(self, event: Event) -> None:
        """Add the points of an event, or drop what it takes back."""
        for name, points in event.points.items():
            self._parts.setdefault(name, []).append(points)
        if event.kind == "cut":
            upto = int(event.data["from_step"])
            for name in self._parts:
                curve = self.curve(name)
                kept = curve.step <= upto
                self._parts[name] = [Points(curve.step[kept], curve.value[kept])]

    def names(self) -> list[str]:
        """The series that have points."""
        return list(self._parts)

    def last(self, name: str) -> float | None:
        """The newest value."""
        parts = [part for part in self._parts.get(name, ()) if len(part.step)]
        return float(parts[-1].value[-1]) if parts else None

    def curve(self, name: str) -> Points:
        """Everything of one series until now."""
        parts = self._parts.get(name, [])
        if len(parts) > 1:
            joined = Points(np.concatenate([p.step for p in parts]), np.concatenate([p.value for p in parts]))
            self._parts[name] = parts = [joined]
        return parts[0] if parts else Points(steps([]), floats([]))
