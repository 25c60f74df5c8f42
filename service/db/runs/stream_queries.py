"""Queries of the streams' poller: updates of any number of runs in a few statements.

The ids of one run's events are in commit order, so its last event id is a position in its stream. Across runs they are
not. There the position is (transaction, id), and only events of transactions older than every open one are sent, so
whatever commits later comes after everything sent before.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, text

from service.analysis.arrays import Steps, Values
from service.db.metrics.codec import unpack_between
from service.db.metrics.read import Curve, join
from service.db.metrics.visible import visible_chunks
from service.db.runs.events import Event
from service.db.session import fetch_binary
from service.lifecycle import State


@dataclass(frozen=True)
class RunProgress:
    """The progress of a run."""

    run_id: str
    state: State
    step: int
    event: int


@dataclass(frozen=True)
class ProjectEvent:
    """An event with its position among the events of a project."""

    xid: int
    event: Event
    experiment_id: str


PROGRESS = text(
    """
    SELECT r.id, r.state, r.step, coalesce((SELECT max(e.id) FROM event e WHERE e.run_id = r.id), 0) AS event
    FROM run r WHERE r.id = ANY(:ids)
    """
)
EVENTS = text(
    """
    SELECT e.id, e.run_id, e.kind, e.data, e.at
    FROM unnest(cast(:ids AS text[]), cast(:known AS bigint[])) AS u(run_id, known)
    CROSS JOIN LATERAL (SELECT * FROM event e WHERE e.run_id = u.run_id AND e.id > u.known
        ORDER BY e.id LIMIT :most OFFSET 0) e
    ORDER BY e.id
    """
)
POINTS = f"""
    SELECT u.run_id, u.name, c.first_step, c.last_step, c.every, c.n, c.values, c.steps, u.first, u.last
    FROM (SELECT w.*, s.id AS series_id, s.name
        FROM unnest(%(runs)s::text[], %(first)s::bigint[], %(last)s::bigint[]) AS w(run_id, first, last)
        JOIN series s ON s.run_id = w.run_id AND s.last_step >= w.first) u
    {visible_chunks("u.first", "u.last")}
    ORDER BY u.run_id, u.name, c.first_step
"""  # noqa: S608  pieces of SQL
HORIZON = text("SELECT (pg_snapshot_xmin(pg_current_snapshot())::text)::bigint")
OF_PROJECTS = text(
    """
    SELECT e.xid, e.id, e.run_id, e.kind, e.data, e.at, e.project_id, e.experiment_id
    FROM unnest(cast(:ids AS text[]), cast(:xids AS bigint[]), cast(:known AS bigint[])) AS u(project_id, xid, known)
    CROSS JOIN LATERAL (SELECT e.*, r.experiment_id FROM event e JOIN run r ON r.id = e.run_id
        WHERE e.project_id = u.project_id AND (e.xid, e.id) > (u.xid, u.known) AND e.xid < :horizon
            AND r.experiment_id IS NOT NULL
        ORDER BY e.xid, e.id LIMIT :most OFFSET 0) e
    ORDER BY e.xid, e.id
    """
)
HIDDEN = text(
    """
    SELECT u.run_id, u.project_id
    FROM unnest(cast(:runs AS text[]), cast(:projects AS text[])) AS u(run_id, project_id) JOIN run r ON r.id = u.run_id
    WHERE r.project_id <> u.project_id AND NOT EXISTS (
        SELECT FROM share s WHERE s.experiment_id = r.experiment_id AND s.project_id = u.project_id)
    """
)


def run_progress(connection: Connection, run_ids: Sequence[str]) -> dict[str, RunProgress]:
    """Return the progress of these runs; deleted ones are left out."""
    rows = connection.execute(PROGRESS, {"ids": list(run_ids)})
    return {row.id: RunProgress(row.id, State(row.state), row.step, row.event) for row in rows}


def hidden(connection: Connection, followed: Collection[tuple[str, str]]) -> set[tuple[str, str]]:
    """Return those pairs of a run and a project that may not read it: it was shared with the project, or moved away."""
    values = {"runs": [each[0] for each in followed], "projects": [each[1] for each in followed]}
    return {(row.run_id, row.project_id) for row in connection.execute(HIDDEN, values)}


def events(connection: Connection, known: Sequence[tuple[str, int]], most: int) -> dict[str, list[Event]]:
    """Return at most `most` events of each run after the last known one."""
    values = {"ids": [run_id for run_id, _ in known], "known": [last for _, last in known], "most": most}
    found: dict[str, list[Event]] = {}
    for row in connection.execute(EVENTS, values):
        found.setdefault(row.run_id, []).append(Event(row.id, row.run_id, row.kind, row.data, row.at))
    return found


def points(connection: Connection, spans: Sequence[tuple[str, int, int]]) -> dict[str, dict[str, Curve]]:
    """Return the points of every series of each (run, first step, last step)."""
    run_ids, first, last = (list(column) for column in zip(*spans, strict=True))
    parts: dict[str, dict[str, list[tuple[Steps, Values]]]] = {}
    for run_id, name, *chunk, low, high in fetch_binary(
        connection, POINTS, {"runs": run_ids, "first": first, "last": last}
    ):
        steps, values = unpack_between(low, high, *chunk)
        if len(steps):
            parts.setdefault(run_id, {}).setdefault(name, []).append((steps, values))
    return {run_id: {name: join(some) for name, some in named.items()} for run_id, named in parts.items()}


def horizon(connection: Connection) -> int:
    """Return the oldest open transaction: every older one has committed or rolled back."""
    return int(connection.execute(HORIZON).scalar_one())


def of_projects(
    connection: Connection, known: Sequence[tuple[str, int, int]], before: int, most: int
) -> dict[str, list[ProjectEvent]]:
    """Return at most `most` events after each (project, transaction, id), of transactions < `before`."""
    ids, xids, last = (list(column) for column in zip(*known, strict=True))
    values = {"ids": ids, "xids": xids, "known": last, "horizon": before, "most": most}
    found: dict[str, list[ProjectEvent]] = {}
    for row in connection.execute(OF_PROJECTS, values):
        event = Event(row.id, row.run_id, row.kind, row.data, row.at)
        found.setdefault(row.project_id, []).append(ProjectEvent(row.xid, event, row.experiment_id))
    return found


RUNNING = text(
    """
    SELECT r.project_id, r.id, r.experiment_id, r.state, r.step, r.total_steps, s.name, s.last
    FROM run r LEFT JOIN series s ON s.run_id = r.id AND s.name IN ('loss', 'val/loss', 'val/accuracy')
    WHERE r.project_id = ANY(:ids) AND r.state = 'running' AND r.experiment_id IS NOT NULL
    ORDER BY r.id
    """
)


def running(connection: Connection, project_ids: Sequence[str]) -> dict[str, dict[str, dict[str, Any]]]:
    """Return the progress and last values of every running run, by project and run."""
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for row in connection.execute(RUNNING, {"ids": list(project_ids)}):
        progress = {"run_id": row.id, "experiment_id": row.experiment_id, "state": row.state, "step": row.step}
        progress |= {"total_steps": row.total_steps, "last": {}}
        run = found.setdefault(row.project_id, {}).setdefault(row.id, progress)
        if row.name is not None:
            run["last"][row.name] = row.last
    return found
