"""What happened to runs since a position: every event and point exactly once, as messages.

A position is enough for that: a flush holds all points of its steps, and one snapshot shows events and points of the
same moment, so points that a cut took back are sent either before the cut or not at all.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from service.db.access.principal import Principal
from service.db.metrics.read import Curve
from service.db.runs import events, runs, stream_queries
from service.db.runs.events import Event
from service.db.runs.stream_queries import ProjectEvent, RunProgress
from service.db.session import Connection
from service.lifecycle import TERMINAL
from service.nonfinite import dumps
from service.streaming.positions import ProjectPosition, RunPosition

P = TypeVar("P", RunPosition, ProjectPosition)
MAX_EVENTS, MAX_STEPS = 500, 10_000  # of a run in one read; also events of a project


@dataclass(frozen=True)
class Message(Generic[P]):
    """A message, encoded once for all readers.

    It follows on `before` and takes its reader to `after`; one without `after` has no place in the order.
    """

    text: str
    before: P | None = None
    after: P | None = None
    last: bool = False  # of a run that has ended


@dataclass(frozen=True)
class Updates:
    """What one read found of a run, and the position after it."""

    messages: list[Message[RunPosition]]
    position: RunPosition
    more: bool  # another read finds more at once

    @property
    def ended(self) -> bool:
        """Whether the run has ended and everything is said."""
        return bool(self.messages) and self.messages[-1].last


def encode(kind: str, data: Mapping[str, Any], position: object = None) -> str:
    """Return a message as the HTML standard writes it; JSON has no line breaks."""
    identified = "" if position is None else f"id: {position}\n"
    return f"{identified}event: {kind}\ndata: {dumps(data)}\n\n"


def latest_position(connection: Connection, principal: Principal, run_id: str) -> RunPosition:
    """Return the position that knows everything until now; `NotFound` for a run of another project."""
    return RunPosition(events.last_id(connection, run_id), runs.get(connection, principal, run_id).step)


def read_updates(
    connection: Connection, heads: Mapping[str, RunProgress], positions: Mapping[str, RunPosition]
) -> dict[str, Updates]:
    """Return what happened to each run since its position, leaving out runs without news.

    `heads` come from `stream_queries.heads` in the same snapshot; a deleted run has none.
    """
    moved = {run_id: position for run_id, position in positions.items() if _has_news(heads.get(run_id), position)}
    known = [(run_id, position.event) for run_id, position in moved.items()]
    new = stream_queries.events(connection, known, MAX_EVENTS) if known else {}
    messages = {run_id: _event_messages(new.get(run_id, ()), position) for run_id, position in moved.items()}
    spans: dict[str, tuple[int, int]] = {}
    for run_id in moved:
        after = messages[run_id][1]
        complete = len(new.get(run_id, ())) < MAX_EVENTS  # otherwise a cut may follow: send no points before it
        if complete and heads[run_id].step > after.step:
            spans[run_id] = after.step + 1, min(heads[run_id].step, after.step + MAX_STEPS)
    points = stream_queries.points(connection, [(run_id, *span) for run_id, span in spans.items()]) if spans else {}
    return {
        run_id: _updates(heads[run_id], *messages[run_id], points.get(run_id, {}), spans.get(run_id))
        for run_id in moved
    }


def _has_news(head: RunProgress | None, position: RunPosition) -> bool:
    return head is not None and (head.event > position.event or head.step != position.step or head.state in TERMINAL)


def _event_messages(found: Sequence[Event], position: RunPosition) -> tuple[list[Message[RunPosition]], RunPosition]:
    """Return the messages and the position after them; a cut takes the reader back."""
    messages: list[Message[RunPosition]] = []
    for event in found:
        step = min(position.step, int(event.data["from_step"])) if event.kind == "cut" else position.step
        after = RunPosition(event.id, step)
        data = event.data | {"at": event.at.isoformat()}
        messages.append(Message(encode(event.kind, data, after), position, after))
        position = after
    return messages, position


def _updates(
    head: RunProgress,
    messages: list[Message[RunPosition]],
    position: RunPosition,
    points: Mapping[str, Curve],
    span: tuple[int, int] | None,
) -> Updates:
    """Add the points and the end to the messages of the events."""
    before = position
    if span is not None:
        position = RunPosition(position.event, span[1])
        if points:
            data = {"series": _columns(points), "upto": position.step}
            messages.append(Message(encode("points", data, position), before, position))
            before = position
    complete = position.event >= head.event and position.step >= head.step
    if complete and head.state in TERMINAL:
        end = encode("end", {"state": head.state.value}, position)
        messages.append(Message(end, before, position, last=True))
    return Updates(messages, position, more=not complete)


def _columns(curves: Mapping[str, Curve]) -> dict[str, dict[str, list[Any]]]:
    return {name: {"step": curve.steps.tolist(), "value": curve.values.tolist()} for name, curve in curves.items()}


def project_message(found: ProjectEvent) -> Message[ProjectPosition]:
    """Return an event of a project as its message."""
    position = ProjectPosition(found.xid, found.event.id)
    data = {
        "run_id": found.event.run_id,
        "experiment_id": found.experiment_id,
        **found.event.data,
        "at": found.event.at.isoformat(),
    }
    return Message(encode(found.event.kind, data, position), after=position)
