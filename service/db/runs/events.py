"""What happened to a run, in order: the history people read and the stream carries.

Every writer of a run's events holds the run's row lock, so the ids of one run are in the order of their commits.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, func, insert, select

from service.db.tables import event, run


@dataclass(frozen=True)
class Event:
    """One thing that happened; `data` depends on `kind`."""

    id: int
    run_id: str
    kind: str
    data: dict[str, Any]
    at: datetime


def add(connection: Connection, run_id: str, kind: str, data: dict[str, Any], *, by: str, why: str) -> None:
    """Record an event in the transaction that makes it true: `by` whom (a member, a worker, the reaper), and `why`."""
    data = {**data, "by": by, "why": why}
    owner = select(run.c.project_id).where(run.c.id == run_id).scalar_subquery()
    connection.execute(insert(event).values(project_id=owner, run_id=run_id, kind=kind, data=data))


def after(connection: Connection, run_ids: Sequence[str], last: int, limit: int = 1000) -> list[Event]:
    """Events of these runs with an id beyond `last`, oldest first."""
    query = select(event).where(event.c.run_id.in_(run_ids), event.c.id > last).order_by(event.c.id).limit(limit)
    return [Event(r.id, r.run_id, r.kind, r.data, r.at) for r in connection.execute(query)]


def last_id(connection: Connection, run_id: str) -> int:
    """The id of the newest event of a run; 0 where there is none."""
    return connection.execute(select(func.max(event.c.id)).where(event.c.run_id == run_id)).scalar_one() or 0
