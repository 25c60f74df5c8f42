"""Following a run: its events as they happen, over any number of broken connections, none missed and none twice."""

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from service.client.errors import Refused, Unreachable
from service.client.http import Http, wait_s
from service.client.sse import messages

PATIENCE_S = 120.0  # without a server, before following is given up
TOO_MANY = 429
Floats = npt.NDArray[np.float64]
Steps = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Points:
    """Values of one series and their steps, which count from 1."""

    step: Steps
    value: Floats


@dataclass(frozen=True)
class Event:
    """One message of a run: `state`, `points`, `cut`, `diagnosis`, `end`, ... and the id to go on behind."""

    kind: str
    id: str
    data: dict[str, Any]

    @cached_property
    def points(self) -> Mapping[str, Points]:
        """Of a message `points`: series name -> new points; NaN and the infinities are themselves."""
        found = self.data.get("series", {}) if self.kind == "points" else {}
        return {name: Points(steps(each["step"]), floats(each["value"])) for name, each in found.items()}


def floats(values: list[Any]) -> Floats:
    """JSON numbers, with "NaN", "Infinity", "-Infinity" and null read as what they stand for."""
    return np.array(values, dtype=np.float64)


def steps(values: list[int]) -> Steps:
    """Step numbers."""
    return np.array(values, dtype=np.int64)


def follow(
    http: Http, run_id: str, since: str = "", begin: str = "start", patience_s: float = PATIENCE_S
) -> Iterator[Event]:
    """Every event of a run behind the id `since`, until the run's `end`."""
    last_id, heard, failures = since, time.monotonic(), 0
    while True:
        query = {"from": begin} if not last_id else None
        headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": last_id} if last_id else {})
        asked = None
        try:
            with http.stream(f"/v1/runs/{run_id}/events", query, headers) as answer:
                for message in messages(answer.iter_lines()):
                    last_id, heard, failures = message.id or last_id, time.monotonic(), 0
                    yield Event(message.event, message.id, json.loads(message.data))
                    if message.event == "end":
                        return
        except Unreachable:
            if time.monotonic() - heard > patience_s:
                raise
        except Refused as refusal:
            if refusal.http_status != TOO_MANY or time.monotonic() - heard > patience_s:
                raise
            asked = "2"
        time.sleep(wait_s(failures, asked))
        failures += 1
