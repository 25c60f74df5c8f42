"""Curves of a run as numpy arrays: every point, or buckets that keep every extreme."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from service.client.arrays import Floats, Points, Steps, floats, steps
from service.client.errors import Refused, Unreachable
from service.client.following import Event
from service.client.http import Http

TOO_MANY_POINTS = "too_many_points"
MAX_TRIES = 3


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
    def of(cls, columns: Mapping[str, Any]) -> "Curve":
        """Return the curve of an answer's columns; null (no finite value in a bucket) becomes NaN."""
        epoch = floats(columns["epoch"]) if columns.get("epoch") is not None else None
        if columns.get("step") is not None:
            return cls(steps(columns["step"]), floats(columns["value"]), epoch=epoch)
        return cls(
            steps(columns["last_step"]),
            floats(columns["last"]),
            exact=False,
            epoch=epoch,
            first_step=steps(columns["first_step"]),
            min=floats(columns["min"]),
            max=floats(columns["max"]),
            mean=floats(columns["mean"]),
            count=steps(columns["count"]),
            nonfinite=steps(columns["nonfinite"]),
        )


class LiveCurves:
    """The curves of a run that is followed; a cut drops the points that are computed again."""

    def __init__(self) -> None:
        self._parts: dict[str, list[Points]] = {}

    def add(self, event: Event) -> None:
        """Add the points of an event, or drop what it cuts."""
        for name, points in event.points.items():
            self._parts.setdefault(name, []).append(points)
        if event.kind == "cut":
            for name in self._parts:
                curve = self.curve(name)
                kept = curve.step <= int(event.data["from_step"])
                self._parts[name] = [Points(curve.step[kept], curve.value[kept])]

    def names(self, prefix: str) -> list[str]:
        """Return the names of the series so far that begin so, in order."""
        return sorted(name for name in self._parts if name.startswith(prefix))

    def last(self, name: str) -> float | None:
        """Return the newest value of a series."""
        parts = [part for part in self._parts.get(name, ()) if len(part.step)]
        return float(parts[-1].value[-1]) if parts else None

    def curve(self, name: str) -> Points:
        """Return all points of a series so far."""
        parts = self._parts.get(name, [])
        if len(parts) > 1:
            joined = Points(np.concatenate([p.step for p in parts]), np.concatenate([p.value for p in parts]))
            self._parts[name] = parts = [joined]
        return parts[0] if parts else Points(steps([]), floats([]))


def fetch_curves(http: Http, run_id: str, query: Mapping[str, Any]) -> dict[str, Curve]:
    """Return curves: in one answer where they fit, else window by window, never mixed from two attempts."""
    try:
        return _fetch(http, run_id, query)
    except Refused as refusal:
        limits = [p.limit["le"] for p in refusal.problems if p.code == TOO_MANY_POINTS and isinstance(p.limit, dict)]
        if query["points"] != "all" or query["x"] != "step" or not limits:
            raise
    for _ in range(MAX_TRIES):
        attempt = http.get(f"/v1/runs/{run_id}")["attempt"]
        found = _fetch_windows(http, run_id, query, int(limits[0]))
        if http.get(f"/v1/runs/{run_id}")["attempt"] == attempt:
            return found
    raise Unreachable("the run started another attempt each time it was read: try again")


def _fetch_windows(http: Http, run_id: str, query: Mapping[str, Any], limit: int) -> dict[str, Curve]:
    """Return all points, as many steps at a time as the server gives."""
    run = http.get(f"/v1/runs/{run_id}")
    names = query["names"].split(",") if query["names"] else list(run["series"])
    width = max(limit // max(len(names), 1), 1)
    first, last = int(query["from"] or 1), int(query["to"] or run["step"])
    parts = [
        _fetch(http, run_id, {**query, "from": low, "to": min(low + width - 1, last)})
        for low in range(first, last + 1, width)
    ]
    return {
        name: Curve(
            np.concatenate([part[name].step for part in parts]), np.concatenate([part[name].value for part in parts])
        )
        for name in names
    }


def _fetch(http: Http, run_id: str, query: Mapping[str, Any]) -> dict[str, Curve]:
    answer = http.get(f"/v1/runs/{run_id}/series", query)
    return {name: Curve.of(columns) for name, columns in answer["series"].items()}
