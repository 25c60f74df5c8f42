"""Reading curves: in one answer where they fit, else window by window, never mixed from two attempts."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from service.client.curves import Curve
from service.client.errors import Refused, Unreachable
from service.client.http import Http

TOO_MANY = "too_many_points"
TRIES = 3


def series(http: Http, run_id: str, asked: Mapping[str, Any]) -> dict[str, Curve]:
    """The curves asked for."""
    path = f"/v1/runs/{run_id}/series"
    try:
        return _curves(http.get(path, asked))
    except Refused as refusal:
        limits = [p.limit["le"] for p in refusal.problems if p.code == TOO_MANY and isinstance(p.limit, dict)]
        if asked["points"] != "all" or asked["x"] != "step" or not limits:
            raise
    for _ in range(TRIES):
        attempt = http.get(f"/v1/runs/{run_id}")["attempt"]
        found = _windows(http, run_id, asked, int(limits[0]))
        if http.get(f"/v1/runs/{run_id}")["attempt"] == attempt:
            return found
    raise Unreachable("the run was taken up anew each time it was read: try again")


def _windows(http: Http, run_id: str, asked: Mapping[str, Any], limit: int) -> dict[str, Curve]:
    """All points, as many steps at a time as the server gives."""
    run = http.get(f"/v1/runs/{run_id}")
    names = asked["names"].split(",") if asked["names"] else list(run["series"])
    width = max(limit // max(len(names), 1), 1)
    first, last = int(asked["from"] or 1), int(asked["to"] or run["step"])
    parts = [
        _curves(http.get(f"/v1/runs/{run_id}/series", {**asked, "from": low, "to": min(low + width - 1, last)}))
        for low in range(first, last + 1, width)
    ]
    return {name: _joined([part[name] for part in parts]) for name in names}


def _joined(parts: list[Curve]) -> Curve:
    return Curve(np.concatenate([part.step for part in parts]), np.concatenate([part.value for part in parts]))


def _curves(answer: Mapping[str, Any]) -> dict[str, Curve]:
    return {name: Curve.of(view) for name, view in answer["series"].items()}
