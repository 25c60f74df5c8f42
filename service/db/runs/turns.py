"""Whose turn it is: first the project, then the person of the project with the least recent use of the pool.

Recent use is seconds of a device, which count half after a half-life; a running run counts as it goes on, and at least
`turn_s`. Runs that are trained together share the seconds. `device_use` holds that of ended attempts: one row per
person, pool and worker, so workers never wait for each other. A row decays when it is read: exponentials compose, so a
value and its time are enough.

A project that waits gains: each second without a device makes up for `AGEING` seconds of use, so nobody waits for
ever. A point of priority makes up for ten minutes of use or of waiting, among the runs of one project only.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, text

from service.db.session import turn_policy
from service.lifecycle import PRIORITY_S

AGEING = 0.5  # seconds of use that a second of waiting makes up for
MAX_HALVINGS = 500  # beyond it, Postgres raises an underflow
NEGLIGIBLE_S = 0.5  # of use


def decay(at: str) -> str:
    """Return the factor of a value of the time `at`."""
    age = f"greatest(extract(epoch FROM statement_timestamp() - {at}), 0)::float8"
    return f"power(2::float8, -least({age} / cast(:half_life_s AS float8), {MAX_HALVINGS}))"


def spent(needs: str, started_at: str, least_s: str = "0") -> str:
    """Return the seconds of devices used since `started_at`, decayed; at least `least_s` of them."""
    devices = f"coalesce((SELECT max(substr(n, 9)::int) FROM unnest({needs}) n WHERE starts_with(n, 'devices=')), 1)"  # noqa: S608
    begun = f"least({started_at}, statement_timestamp() - make_interval(secs => {least_s}))"
    return f"{devices} * cast(:half_life_s AS float8) / ln(2::float8) * (1 - {decay(begun)})"


def count_use(ended: str) -> str:
    """Return the statement that counts the last attempt of the runs in the CTE `ended`."""
    return f"""
        INSERT INTO device_use AS known (pool, project_id, owner_id, worker, seconds, at)
        SELECT e.pool, e.project_id, e.owner_id, e.worker, {spent("e.needs", "a.started_at")} / a.pack_runs,
            statement_timestamp()
        FROM {ended} e JOIN attempt a ON a.run_id = e.id AND a.attempt = e.attempt
        ON CONFLICT (pool, project_id, owner_id, worker) DO UPDATE
            SET seconds = known.seconds * {decay("known.at")} + excluded.seconds, at = greatest(known.at, excluded.at)
    """  # noqa: S608  pieces of SQL


USE = f"""
    used AS MATERIALIZED (
        SELECT pool, project_id, owner_id, sum(seconds) AS seconds, max(served_at) AS served_at FROM (
            SELECT pool, project_id, owner_id, seconds * {decay("at")} AS seconds, at AS served_at
            FROM device_use WHERE pool = ANY(cast(:pools AS text[]))
            UNION ALL
            SELECT r.pool, r.project_id, r.owner_id,
                {spent("r.needs", "a.started_at", "cast(:turn_s AS float8)")} / a.pack_runs, statement_timestamp()
            FROM run r JOIN attempt a ON a.run_id = r.id AND a.attempt = r.attempt
            WHERE r.state = 'running' AND r.pool = ANY(cast(:pools AS text[]))) each
        GROUP BY pool, project_id, owner_id),
    used_by_project AS MATERIALIZED (
        SELECT pool, project_id, sum(seconds) AS seconds, max(served_at) AS served_at
        FROM used GROUP BY pool, project_id)
"""  # noqa: S608  pieces of SQL; needs :pools and `parameters`
CONTENDERS = """
    contender AS (
        SELECT p.pool, first.needs, first.project_id, first.owner_id FROM unnest(cast(:pools AS text[])) AS p(pool)
        CROSS JOIN LATERAL (SELECT needs, project_id, owner_id FROM run WHERE state = 'queued' AND pool = p.pool
            ORDER BY needs, project_id, owner_id LIMIT 1) first
        UNION ALL
        SELECT c.pool, next.needs, next.project_id, next.owner_id FROM contender c
        CROSS JOIN LATERAL (SELECT needs, project_id, owner_id FROM run WHERE state = 'queued' AND pool = c.pool
            AND (needs, project_id, owner_id) > (c.needs, c.project_id, c.owner_id)
            ORDER BY needs, project_id, owner_id LIMIT 1) next)
"""  # one row per queue, each found by an index probe; first in a WITH RECURSIVE
HEADS = """
    head AS MATERIALIZED (
        SELECT c.pool, c.needs, c.project_id, c.owner_id, first.id, first.rank_at, first.queued_at, first.priority
        FROM contender c
        CROSS JOIN LATERAL (SELECT id, rank_at, queued_at, priority FROM run
            WHERE state = 'queued' AND pool = c.pool AND needs = c.needs AND project_id = c.project_id
                AND owner_id = c.owner_id AND not_before <= clock_timestamp()
            ORDER BY rank_at, id LIMIT 1) first)
"""
FULL = """
    full_quota AS MATERIALIZED (
        SELECT project_id, member_id FROM quota_use q WHERE held OR running_limit IS NOT NULL AND running_limit <= (
            SELECT count(*) FROM run r WHERE r.state = 'running' AND r.project_id = q.project_id
                AND (q.member_id IS NULL OR r.owner_id = q.member_id)))
"""  # of projects, and of people (`member_id`), none of whose runs starts


def is_full(waiting: str) -> str:
    """Return whether a quota keeps the runs of a row that waits from starting; needs `FULL`."""
    return f"""EXISTS (SELECT FROM full_quota f WHERE f.project_id = {waiting}.project_id
        AND (f.member_id IS NULL OR f.member_id = {waiting}.owner_id))"""


def _score(use: str, since: str) -> str:
    """Return what decides the turn, least first: use, less what waiting since then makes up for."""
    waited_s = f"extract(epoch FROM statement_timestamp() - greatest({since}, {use}.served_at))::float8"
    return f"coalesce({use}.seconds, 0) - {AGEING} * {waited_s}"


def project_score(waiting: str) -> str:
    """Return the score of the project of a row that waits, joined with `SCORED`."""
    return _score("p", f"min({waiting}.queued_at) OVER (PARTITION BY {waiting}.pool, {waiting}.project_id)")


def person_score(waiting: str) -> str:
    """Return the score of the owner of a row that waits."""
    return f"{_score('o', f'{waiting}.queued_at')} - {waiting}.priority * cast(:point_s AS float8)"


def scored(waiting: str) -> str:
    """Return the joins of rows that wait with the use of their project and their owner."""
    return f"""
        LEFT JOIN used_by_project p ON p.pool = {waiting}.pool AND p.project_id = {waiting}.project_id
        LEFT JOIN used o ON o.pool = {waiting}.pool AND o.project_id = {waiting}.project_id
            AND o.owner_id = {waiting}.owner_id
    """


ORDER = f"{project_score('h')}, h.project_id, {person_score('h')}, h.rank_at, h.id"  # of heads `h`


def parameters(connection: Connection) -> dict[str, float]:
    """Return the values that these statements need."""
    policy = turn_policy(connection)
    return {"half_life_s": policy.half_life_s, "turn_s": policy.turn_s, "point_s": PRIORITY_S}


@dataclass(frozen=True)
class Share:
    """What one person of one project uses of a pool: seconds of a device recently, and runs now."""

    pool: str
    project_id: str
    project: str
    owner_id: str
    owner: str
    use_s: float
    running: int
    waiting: int


SHARES = text(
    f"""
    WITH {USE},
    open AS (
        SELECT pool, project_id, owner_id, count(*) FILTER (WHERE state = 'running') AS running,
            count(*) FILTER (WHERE state = 'queued') AS waiting
        FROM run WHERE state IN ('running', 'queued') AND pool = ANY(cast(:pools AS text[]))
        GROUP BY pool, project_id, owner_id)
    SELECT s.pool, s.project_id, project.name AS project, s.owner_id, member.name AS owner,
        s.use_s, s.running, s.waiting
    FROM (SELECT pool, project_id, owner_id, coalesce(used.seconds, 0) AS use_s, coalesce(open.running, 0) AS running,
            coalesce(open.waiting, 0) AS waiting
        FROM used FULL JOIN open USING (pool, project_id, owner_id)) s
    JOIN project ON project.id = s.project_id JOIN member ON member.id = s.owner_id
    WHERE s.use_s >= {NEGLIGIBLE_S} OR s.running + s.waiting > 0
    ORDER BY s.pool, project.name, member.name
    """  # noqa: S608  pieces of SQL
)
POOLS = text(
    """
    SELECT pool FROM worker UNION SELECT pool FROM run WHERE state IN ('running', 'queued')
    UNION SELECT pool FROM device_use ORDER BY pool
    """
)
FORGET = text(f"DELETE FROM device_use WHERE seconds * {decay('at')} < {NEGLIGIBLE_S}")  # noqa: S608  pieces of SQL


def known_pools(connection: Connection) -> list[str]:
    """Return every pool with a worker, a run or recent use."""
    return list(connection.execute(POOLS).scalars())


def shares(connection: Connection, pools: Sequence[str]) -> list[Share]:
    """Return what each person of all projects uses of these pools, by pool, project and person."""
    rows = connection.execute(SHARES, {"pools": list(pools), **parameters(connection)}).mappings()
    return [Share(**row) for row in rows]


def forget_decayed(connection: Connection) -> int:
    """Delete the rows that count for nothing any more; return how many."""
    return connection.execute(FORGET, parameters(connection)).rowcount
