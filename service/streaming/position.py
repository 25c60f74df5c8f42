"""Following a run: from a position, what has happened since, each point and event exactly once.

A position is "<event id>.<step>": events up to that id and points up to that step are known. It is all a reader needs,
because a flush holds all points of its steps, and because one look sees events and points at the same moment: so
what a cut took back is either told before the cut or not at all.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from service.db.access.projects import Principal
from service.db.metrics.metrics import Curve
from service.db.runs import events, runs, stream_queries
from service.db.runs.events import Event
from service.db.session import Connection
from service.lifecycle import TERMINAL

EVENTS, STEPS = 500, 10_000  # most events, and steps of points, of one look


@dataclass(frozen=True)
class Position:
    """How far a reader is."""

    event: int = 0
    step: int = 0

    def __str__(self) -> str:
        return f"{self.event}.{self.step}"

    @classmethod
    def parse(cls, text: str) -> "Position | None":
        """None where it is no position of ours."""
        found = re.fullmatch(r"(\d{1,18})\.(\d{1,18})", text, re.ASCII)
        return cls(int(found[1]), int(found[2])) if found else None


@dataclass(frozen=True)
class News:
    """One message, and where its reader is after it."""

    kind: str
    data: dict[str, Any]
    position: Position


@dataclass(frozen=True)
class Look:
    """What one look found; `more` where another look would find more at once."""

    told: list[News]
    position: Position
    more: bool
    ended: bool


def newest(connection: Connection, principal: Principal, run_id: str) -> Position:
    """Everything until now is known."""
    return Position(events.last_id(connection, run_id), runs.get(connection, principal, run_id).step)


def look(connection: Connection, principal: Principal, run_id: str, position: Position) -> Look:
    """All that is new, from one snapshot: events, then points, then the end."""
    run = runs.get(connection, principal, run_id)
    found = events.after(connection, [run_id], position.event, EVENTS)
    told = list(news_of(found, position))
    if told:
        position = told[-1].position
    if len(found) == EVENTS:  # a cut may be among those that are left: no points before it is known
        return Look(told, position, more=True, ended=False)
    if run.step > position.step:
        upto = min(run.step, position.step + STEPS)
        points = _points(connection, run_id, position.step + 1, upto)
        position = replace(position, step=upto)
        if points:
            told.append(News("points", {"series": points, "upto": upto}, position))
    ended = run.state in TERMINAL and position.step >= run.step
    if ended:
        told.append(News("end", {"state": run.state.value}, position))
    return Look(told, position, more=position.step < run.step, ended=ended)


def news_of(found: Sequence[Event], position: Position) -> Iterator[News]:
    """Events as messages; a cut takes the reader back."""
    for event in found:
        step = position.step
        if event.kind == "cut":
            step = min(step, int(event.data["from_step"]))
        position = Position(event.id, step)
        yield News(event.kind, event.data | {"at": event.at.isoformat()}, position)


def _points(connection: Connection, run_id: str, first: int, last: int) -> dict[str, dict[str, list[Any]]]:
    """Steps and values of every series that has points there."""
    return columns(stream_queries.points(connection, [(run_id, first, last)]).get(run_id, {}))


def columns(curves: Mapping[str, Curve]) -> dict[str, dict[str, list[Any]]]:
    """As they are sent."""
    return {name: {"step": curve.steps.tolist(), "value": curve.values.tolist()} for name, curve in curves.items()}
