"""What the server as a whole is doing, for its operators: no project, no person, no run is named.

Two statements whose cost does not grow with what has ended: they read waiting and running runs, workers, open messages,
and the events since the last look.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, RowMapping, text

from service.db.runs.pools import FRESH_S
from service.db.session import Engine
from service.db.states import ENDED

SLACK_EVENTS = 10_000  # ids of events that transactions may commit out of order


@dataclass(frozen=True)
class Figure:
    """A number that Postgres holds, with what distinguishes it from others of its name."""

    name: str
    labels: tuple[str, ...]
    value: float


@dataclass
class Seen:
    """How far an observer has counted; each counts from its own first look."""

    xid: int = 0  # events of transactions before this one are counted
    event_id: int = 0
    points: dict[str, int] = field(default_factory=dict)  # of running runs


NOW = text(
    """
    SELECT 'runs' AS name, ARRAY[pool, state] AS labels, count(*)::float8 AS value
    FROM run WHERE state IN ('queued', 'running', 'paused') GROUP BY pool, state
    UNION ALL
    SELECT 'oldest_waiting', ARRAY[pool], max(greatest(0, extract(epoch FROM clock_timestamp() - queued_at)))::float8
    FROM run WHERE state = 'queued' GROUP BY pool
    UNION ALL
    SELECT 'workers', ARRAY[pool, CASE WHEN state IN ('gone', 'unhealthy')
        OR beat_at > clock_timestamp() - make_interval(secs => :fresh_s) THEN state ELSE 'silent' END], count(*)
    FROM worker WHERE beat_at > clock_timestamp() - interval '1 hour' GROUP BY 2
    UNION ALL
    SELECT 'messages_waiting', '{}', count(*) FROM delivery WHERE state = 'open'
    UNION ALL
    SELECT 'messages_retrying', '{}', count(*) FROM delivery WHERE state = 'open' AND attempts > 0
    UNION ALL
    SELECT 'channels_failing', '{}', count(*) FROM channel WHERE failures > 0 AND removed_at IS NULL
    UNION ALL
    SELECT 'database_connections', '{}', count(*) FROM pg_stat_activity WHERE datname = current_database()
    UNION ALL
    SELECT 'database_bytes', '{}', pg_database_size(current_database())
    """
)
SINCE = text(
    f"""
    WITH horizon AS (SELECT (pg_snapshot_xmin(pg_current_snapshot())::text)::bigint AS xid,
        coalesce((SELECT max(id) FROM event), 0) AS event_id),
    fresh AS (
        SELECT e.run_id, e.kind, e.data ->> 'state' AS state, e.data ->> 'ending' AS ending FROM event e, horizon h
        WHERE :xid > 0 AND e.id > :event_id AND e.xid >= :xid AND e.xid < h.xid),
    active AS (SELECT id FROM run WHERE state = 'running' UNION SELECT run_id FROM fresh WHERE kind = 'state')
    SELECT 'horizon' AS name, '' AS label, xid AS value, event_id AS other FROM horizon
    UNION ALL SELECT 'ended', state, count(*), 0 FROM fresh WHERE kind = 'state' AND state IN {ENDED} GROUP BY state
    UNION ALL SELECT 'lost', '', count(*), 0 FROM fresh WHERE ending = 'lost'
    UNION ALL SELECT 'preempted', '', count(*), 0 FROM fresh WHERE kind = 'preempted'
    UNION ALL SELECT 'points', r.id, coalesce((SELECT sum(s.n) FROM series s WHERE s.run_id = r.id), 0), r.attempt
    FROM active a JOIN run r ON r.id = a.id
    """  # noqa: S608  a list of our own words
)


def present_figures(connection: Connection) -> list[Figure]:
    """Return what there is now."""
    rows = connection.execute(NOW, {"fresh_s": FRESH_S})
    return [Figure(row.name, tuple(row.labels), float(row.value)) for row in rows]


def counted_since(connection: Connection, seen: Seen) -> list[Figure]:
    """Return what has happened since the last look, each event once, and move `seen` on.

    Points of a run that is new to this observer count from its beginning only where it is in its first attempt.
    """
    rows = connection.execute(SINCE, {"xid": seen.xid, "event_id": seen.event_id}).mappings().all()
    (horizon,) = (row for row in rows if row["name"] == "horizon")
    points = [row for row in rows if row["name"] == "points"]
    written = _count_points(points, seen) if seen.xid else 0
    seen.points = {row["label"]: int(row["value"]) for row in points}
    seen.xid, seen.event_id = int(horizon["value"]), max(0, int(horizon["other"]) - SLACK_EVENTS)
    counted = [row for row in rows if row["name"] in ("ended", "lost", "preempted")]
    figures = [Figure(row["name"], (row["label"],) if row["label"] else (), float(row["value"])) for row in counted]
    return [*figures, Figure("points", (), float(written))]


def _count_points(rows: Sequence[RowMapping], seen: Seen) -> int:
    """Return the points written since the last look; a cut takes some away, which counts as nothing."""
    written = 0
    for row in rows:
        before = seen.points.get(row["label"], 0 if row["other"] <= 1 else int(row["value"]))
        written += max(0, int(row["value"]) - before)
    return written


def connections_in_use(engine: Engine) -> tuple[int, int]:
    """Return how many connections of this process are in use, and how many there may be."""
    pool: Any = engine.pool
    return pool.checkedout(), 2 * pool.size()  # as many again where all are in use
