"""The events of runs: the history that users read and streams send.

Every writer of events locks the run's row, so the ids of one run are in commit order.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, func, select, text

from service.db.driver import Statement
from service.db.tables import event
from service.lifecycle import State
from service.nonfinite import dumps


@dataclass(frozen=True)
class Event:
    """Something that happened to a run; `data` depends on `kind`."""

    id: int
    run_id: str
    kind: str
    data: dict[str, Any]
    at: datetime


ADD = text(
    """
    INSERT INTO event (project_id, run_id, kind, data) SELECT r.project_id, r.id, :kind, cast(:data AS jsonb)
    FROM unnest(cast(:run_ids AS text[])) WITH ORDINALITY AS u(run_id, place) JOIN run r ON r.id = u.run_id
    ORDER BY u.place
    """
)


_LAST_ID = Statement(select(func.max(event.c.id)).where(event.c.run_id == bindparam("run_id")))


def add(connection: Connection, run_id: str, kind: str, data: dict[str, Any], *, by: str, why: str) -> None:
    """Add an event, in the transaction of the change; `by` is a member, a worker or the reaper."""
    add_many(connection, [run_id], kind, data, by=by, why=why)


def add_many(
    connection: Connection, run_ids: Sequence[str], kind: str, data: dict[str, Any], *, by: str, why: str
) -> None:
    """Add the same event for several runs, in this order, in one statement."""
    document = dumps({**data, "by": by, "why": why})
    connection.execute(ADD, {"run_ids": list(run_ids), "kind": kind, "data": document})


def after(connection: Connection, run_ids: Sequence[str], last: int, limit: int = 1000) -> list[Event]:
    """Return the events of these runs with an id beyond `last`, oldest first."""
    query = select(event).where(event.c.run_id.in_(run_ids), event.c.id > last).order_by(event.c.id).limit(limit)
    return [Event(r.id, r.run_id, r.kind, r.data, r.at) for r in connection.execute(query)]


def last_id(connection: Connection, run_id: str) -> int:
    """Return the id of the newest event of a run; 0 if there is none."""
    return int(_LAST_ID.rows(connection, run_id=run_id)[0][0] or 0)


def record_state(connection: Connection, run_id: str, state: State, data: dict[str, Any], *, by: str, why: str) -> None:
    """Add the event of a change of state."""
    add(connection, run_id, "state", {"state": state.value, **data}, by=by, why=why)
