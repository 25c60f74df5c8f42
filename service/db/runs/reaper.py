"""Requeueing runs whose worker was lost, and counts for the dispatcher.

It uses no wall clock: a reaper remembers each (lease, beat) with its own monotonic time. If a pair does not change for
the whole window, an update on exactly that pair reaps the run, so any number of reapers may run.
"""

from dataclasses import dataclass

from sqlalchemy import Connection, text

from service.db import rights
from service.db.runs import turns
from service.db.runs.endings import CLOSE_ATTEMPT, COUNTS_AS_TRIED
from service.db.runs.events import record_state
from service.lifecycle import ATTEMPT_BUDGET, LOST_BUDGET, State


@dataclass(frozen=True)
class Beat:
    """A heartbeat as a reaper sees it."""

    run_id: str
    lease: str
    beat: int


def beats(connection: Connection) -> list[Beat]:
    """Return the newest heartbeat of every running run."""
    rows = connection.execute(text("SELECT id, lease, beat FROM run WHERE state = 'running'"))
    return [Beat(row.id, row.lease, row.beat) for row in rows]


REAP = text(
    f"""
    WITH tried AS (SELECT count(*) AS n FROM attempt WHERE run_id = :run_id AND {COUNTS_AS_TRIED}),
    reaped AS (
        UPDATE run SET lease = NULL, lost_count = lost_count + 1, desired = 'run', not_before = clock_timestamp(),
            trained_s = trained_s + (SELECT greatest(0, extract(epoch FROM clock_timestamp() - a.started_at))
                / a.pack_runs FROM attempt a WHERE a.run_id = run.id AND a.attempt = run.attempt),
            state = CASE WHEN desired = 'cancel' THEN 'cancelled' WHEN desired = 'pause' THEN 'paused'
                WHEN lost_count + 1 >= :budget OR tried.n >= :attempts THEN 'failed' ELSE 'queued' END,
            failure = CASE WHEN desired = 'run' AND (lost_count + 1 >= :budget OR tried.n >= :attempts)
                THEN jsonb_build_object('code', 'lost_loop', 'detail',
                    'Its worker was lost ' || (lost_count + 1) || ' times without a new checkpoint.',
                    'evidence', jsonb_build_object('attempts', attempt)) END,
            finished_at = CASE WHEN desired = 'cancel'
                OR (desired = 'run' AND (lost_count + 1 >= :budget OR tried.n >= :attempts)) THEN clock_timestamp() END
        FROM tried WHERE id = :run_id AND lease = :lease AND beat = :beat AND state = 'running'
        RETURNING id, state, attempt, pool, needs, project_id, owner_id, worker),
    counted AS ({turns.count_use("reaped")})
    SELECT state, attempt FROM reaped
    """  # noqa: S608  pieces of SQL
)


def reap(connection: Connection, seen: Beat) -> State | None:
    """Requeue or end a run whose heartbeat has not changed since it was `seen`; return None if it has."""
    with rights.acting_as(connection, "saddle_reaper"):
        return _reap(connection, seen)


def _reap(connection: Connection, seen: Beat) -> State | None:
    limits = {"budget": LOST_BUDGET, "attempts": ATTEMPT_BUDGET}
    row = connection.execute(REAP, seen.__dict__ | limits | turns.parameters(connection)).one_or_none()
    if row is None:
        return None
    connection.execute(
        CLOSE_ATTEMPT,
        {"run_id": seen.run_id, "attempt": row.attempt, "ending": "lost", "detail": "no sign of life"},
    )
    data = {"attempt": row.attempt, "ending": "lost"}
    record_state(connection, seen.run_id, State(row.state), data, by="reaper", why="no sign of life")
    return State(row.state)


def held_by(connection: Connection, worker: str) -> list[Beat]:
    """Return the running runs of a worker of this name, which it reaps when it starts."""
    rows = connection.execute(
        text("SELECT id, lease, beat FROM run WHERE state = 'running' AND worker = :worker"),
        {"worker": worker},
    )
    return [Beat(row.id, row.lease, row.beat) for row in rows]


def lock_worker_name(connection: Connection, worker: str) -> bool:
    """Lock the worker's name while this connection is open; return False if another process holds it."""
    return bool(
        connection.execute(
            text("SELECT pg_try_advisory_lock(hashtextextended(:name, 0))"), {"name": worker}
        ).scalar_one()
    )


def count_waiting(connection: Connection) -> dict[str, int]:
    """Return how many runs could start now, by pool."""
    rows = connection.execute(
        text(
            "SELECT pool, count(*) AS n FROM run WHERE state = 'queued' AND not_before <= clock_timestamp() GROUP BY 1"
        )
    )
    return {row.pool: row.n for row in rows}
