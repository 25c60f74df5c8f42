"""What happened to runs since a reader's place, project by project, and which conditions hold.

The place is (transaction, id), and only events of transactions older than every open one are read, so whatever commits
later comes after it. It moves in the transaction that fills the outbox, so each event is told exactly once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from service.lifecycle import ASIDE


@dataclass(frozen=True)
class Place:
    """How far the events of a project have been read."""

    project_id: str
    xid: int
    event_id: int


@dataclass(frozen=True)
class RunEvent:
    """An event of a run with what a message says about it."""

    id: int
    xid: int
    run_id: str
    kind: str
    data: dict[str, Any]
    at: datetime
    seed: int
    failure: dict[str, Any] | None
    experiment_id: str
    experiment: str
    owner_id: str
    owner: str


TAKE = text(
    """
    SELECT project_id, xid, event_id FROM event_reader
    WHERE NOT project_id = ANY(:done) ORDER BY project_id LIMIT 1 FOR UPDATE SKIP LOCKED
    """
)
# Only what can be told: a project's other events are passed over.
EVENTS = text(
    f"""
    SELECT e.id, e.xid, e.run_id, e.kind, e.data, e.at, r.seed, r.failure, x.id AS experiment_id, x.name AS experiment,
        x.owner_id, m.name AS owner
    FROM event e JOIN run r ON r.id = e.run_id JOIN experiment x ON x.id = r.experiment_id
        JOIN member m ON m.id = x.owner_id
    WHERE e.project_id = :project_id AND (e.xid, e.id) > (:xid, :event_id) AND e.xid < :horizon
        AND (e.kind = 'checkpoint' OR (e.kind = 'state' AND e.data ->> 'state' IN ('succeeded', 'failed')))
        AND (r.relation IS NULL OR NOT r.relation IN ({", ".join(f"'{each.value}'" for each in sorted(ASIDE))}))
    ORDER BY e.xid, e.id LIMIT :most
    """  # noqa: S608  names of relations
)
MOVE = text("UPDATE event_reader SET xid = :xid, event_id = :event_id WHERE project_id = :project_id")


def take_project(connection: Connection, done: Sequence[str]) -> Place | None:
    """Lock the reader of a project that is neither among `done` nor read by another process; None: there is none."""
    row = connection.execute(TAKE, {"done": list(done)}).one_or_none()
    return None if row is None else Place(*row)


def now(connection: Connection) -> datetime:
    """Return the time by the database's clock, which events and channels have too."""
    found: datetime = connection.execute(text("SELECT clock_timestamp()")).scalar_one()
    return found


def events(connection: Connection, place: Place, horizon: int, most: int) -> list[RunEvent]:
    """Return at most `most` events after the place, of transactions older than `horizon`."""
    given = {"project_id": place.project_id, "xid": place.xid, "event_id": place.event_id}
    rows = connection.execute(EVENTS, given | {"horizon": horizon, "most": most}).mappings()
    return [RunEvent(**row) for row in rows]


def move(connection: Connection, place: Place) -> None:
    """Store how far a project has been read."""
    connection.execute(MOVE, place.__dict__)


BEGIN = text(
    """
    INSERT INTO alarm (kind, subject, project_id)
    SELECT :kind, s, :project_id FROM unnest(cast(:subjects AS text[])) AS s ON CONFLICT DO NOTHING RETURNING subject
    """
)
END = text("DELETE FROM alarm WHERE kind = :kind AND project_id = :project_id AND NOT subject = ANY(:subjects)")


def begun(connection: Connection, kind: str, project_id: str, subjects: Sequence[str]) -> set[str]:
    """Remember that these conditions hold in a project, and return those that did not before."""
    asked = {"kind": kind, "project_id": project_id, "subjects": sorted(set(subjects))}
    return set(connection.execute(BEGIN, asked).scalars()) if subjects else set()


def hold_only(connection: Connection, kind: str, project_id: str, subjects: Sequence[str]) -> set[str]:
    """Like `begun`, and forget every other condition of this kind: when it comes back, it is told again."""
    connection.execute(END, {"kind": kind, "project_id": project_id, "subjects": list(subjects)})
    return begun(connection, kind, project_id, subjects)


@dataclass(frozen=True)
class WaitingRun:
    """The run of an experiment that has waited longest."""

    run_id: str
    experiment_id: str
    experiment: str
    owner_id: str
    owner: str
    pool: str
    needs: Sequence[str]
    waits_s: float
    runs: int  # of the experiment that wait


WAITING = text(
    """
    SELECT DISTINCT ON (r.experiment_id) r.id AS run_id, r.experiment_id, x.name AS experiment, x.owner_id,
        m.name AS owner, r.pool, r.needs, extract(epoch FROM clock_timestamp() - r.queued_at)::float8 AS waits_s,
        count(*) OVER (PARTITION BY r.experiment_id) AS runs
    FROM run r JOIN experiment x ON x.id = r.experiment_id JOIN member m ON m.id = x.owner_id
    WHERE r.state = 'queued' AND r.project_id = :project_id AND r.not_before <= clock_timestamp()
        AND r.queued_at < clock_timestamp() - make_interval(secs => :least_s)
    ORDER BY r.experiment_id, r.queued_at
    """
)


def waiting(connection: Connection, project_id: str, least_s: float) -> list[WaitingRun]:
    """Return for each experiment the run that has waited longest, if that is `least_s` or more."""
    rows = connection.execute(WAITING, {"project_id": project_id, "least_s": least_s}).mappings()
    return [WaitingRun(**row) for row in rows]
