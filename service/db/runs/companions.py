"""Companions of a claimed run: waiting runs of the same owner that differ from it only in values.

They are claimed in its transaction and trained together with it as a pack. Each has its own lease and attempt.
"""

from collections.abc import Sequence

from sqlalchemy import Connection, text

from service.db.runs.claims import MAY_PACK, Claim, continue_run, find_held, to_claim

MOST = 256  # runs of a pack, which settings allow
WAITS = f"""r.state = 'queued' AND r.pack_key = :pack_key AND {MAY_PACK} AND r.not_before <= clock_timestamp()"""
CLAIM = text(
    f"""
    WITH first AS (
        SELECT pool, needs, project_id, owner_id, worker FROM run WHERE lease = :lease AND state = 'running'),
    room AS (
        SELECT min(q.running_limit - (SELECT count(*) FROM run r WHERE r.state = 'running'
            AND r.project_id = q.project_id AND (q.member_id IS NULL OR r.owner_id = q.member_id))) AS runs
        FROM quota_use q JOIN first f ON q.project_id = f.project_id
            AND (q.member_id IS NULL OR q.member_id = f.owner_id)
        WHERE q.running_limit IS NOT NULL),
    idle AS (
        SELECT count(*) AS workers FROM worker w JOIN first f ON f.pool = w.pool AND f.worker <> w.name
        WHERE w.state = 'idle' AND w.beat_at > clock_timestamp() - interval '1 minute'),
    waiting AS (
        SELECT count(*) AS runs FROM (
            SELECT FROM run r JOIN first f USING (pool, needs, project_id, owner_id) WHERE {WAITS}
            LIMIT {MOST} * ((SELECT workers FROM idle) + 1)) w),
    locked AS MATERIALIZED (
        SELECT r.id, r.rank_at FROM run r JOIN first f USING (pool, needs, project_id, owner_id) WHERE {WAITS}
        ORDER BY r.rank_at, r.id FOR UPDATE OF r SKIP LOCKED
        LIMIT greatest(0, least(cardinality(cast(:leases AS text[])), (SELECT runs FROM room),
            -- of the waiting runs and the first: those of other idle workers are theirs
            ceil(((SELECT runs FROM waiting) + 1.0) / ((SELECT workers FROM idle) + 1)) - 1))),
    chosen AS (
        SELECT l.id, given.lease, place
        FROM (SELECT id, row_number() OVER (ORDER BY rank_at, id) AS place FROM locked) l
        JOIN unnest(cast(:leases AS text[])) WITH ORDINALITY AS given(lease, place) USING (place)),
    taken AS (
        UPDATE run r SET state = 'running', attempt = r.attempt + 1, lease = c.lease, beat = 0, worker = f.worker,
            yields_to = NULL, step = r.checkpoint_step, started_at = coalesce(r.started_at, clock_timestamp())
        FROM chosen c, first f WHERE r.id = c.id
        RETURNING r.id, r.experiment_id, r.project_id, r.owner_id, r.attempt, r.lease, r.seed, r.total_steps, r.worker,
            r.trained_s, r.limit_s, r.pause_at, r.task, r.memory_bytes, r.request_id, r.trace, r.pack_key,
            r.attempt = 1 AS fresh, c.place),
    announced AS (
        INSERT INTO event (project_id, run_id, kind, data) SELECT project_id, id, 'state', jsonb_build_object(
            'state', 'running', 'attempt', attempt, 'worker', worker, 'by', 'worker ' || worker, 'why', 'claimed')
        FROM taken WHERE fresh),
    opened AS (
        INSERT INTO attempt (run_id, attempt, lease, worker, start_step, owner_id)
        SELECT id, attempt, lease, worker, 0, owner_id FROM taken WHERE fresh)
    SELECT t.*, e.spec, NULL AS step, NULL AS forked FROM taken t JOIN experiment e ON e.id = t.experiment_id
    ORDER BY t.place
    """  # noqa: S608  a piece of SQL
)
HELD = text("SELECT lease FROM run WHERE lease = ANY(cast(:leases AS text[])) AND state = 'running' ORDER BY id")
SHARE = text(
    """
    UPDATE attempt a SET pack_runs = :runs FROM run r
    WHERE r.lease = ANY(cast(:leases AS text[])) AND r.state = 'running' AND a.run_id = r.id AND a.attempt = r.attempt
    """
)


def claim(connection: Connection, first: Claim, leases: Sequence[str], again: bool = False) -> list[Claim]:
    """Claim companions of the run that was just claimed, at most one for each lease and what the quotas leave.

    Idle workers of the pool get an equal share of those that wait.

    `again` with the same leases returns those that they already hold, if any.
    """
    if first.pack_key is None or not leases:
        return []
    if again and (held := _find(connection, leases)):
        return held
    given = {"lease": first.lease, "pack_key": first.pack_key, "leases": list(leases)}
    claimed = []
    for row in connection.execute(CLAIM, given).all():
        if row.fresh:
            claimed.append(to_claim(connection, row, row.lease))
        elif (found := find_held(connection, row.lease)) is not None:
            continue_run(connection, found)
            claimed.append(found)
    if claimed:
        held_by = [first.lease, *(each.lease for each in claimed)]
        connection.execute(SHARE, {"leases": held_by, "runs": len(held_by)})
    return claimed


def _find(connection: Connection, leases: Sequence[str]) -> list[Claim]:
    held = connection.execute(HELD, {"leases": list(leases)}).scalars().all()
    return [found for lease in held if (found := find_held(connection, lease)) is not None]
