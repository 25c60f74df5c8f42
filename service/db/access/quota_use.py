"""The use of quotas that is counted in the background: device time of the month, stored bytes."""

from sqlalchemy import Connection, text

from service.db.access import key_limits
from service.db.session import every_project

EVERY_S = 60.0  # between two counts, whichever process makes them
LIMIT = """
    SELECT value FROM quota q WHERE q.name = '{name}'
        AND q.subject = CASE WHEN s.member_id IS NULL THEN 'project' ELSE 'person' END
        AND (q.project_id IS NULL OR q.project_id = s.project_id) AND (q.member_id IS NULL OR q.member_id = s.member_id)
    ORDER BY q.member_id NULLS LAST, q.project_id NULLS LAST LIMIT 1
"""
MOST_RUNNING = 2**31 - 1  # from here on a limit is none: its column holds no larger number
COUNT = text(
    f"""
    WITH month AS (SELECT date_trunc('month', clock_timestamp(), 'UTC') AS began),
    trained AS (
        SELECT coalesce(a.owner_id, r.owner_id) AS owner_id, sum(extract(epoch
            FROM coalesce(a.ended_at, clock_timestamp()) - greatest(a.started_at, month.began)) * d.devices
            / a.pack_runs) AS device_s
        FROM month, attempt a JOIN run r ON r.id = a.run_id
        CROSS JOIN LATERAL {key_limits.DEVICES} d
        WHERE coalesce(a.ended_at, clock_timestamp()) > month.began GROUP BY coalesce(a.owner_id, r.owner_id)),
    kept AS (
        SELECT e.owner_id, sum(c.size_bytes) AS bytes FROM checkpoint c JOIN run r ON r.id = c.run_id
        JOIN experiment e ON e.id = r.experiment_id WHERE c.removed_at IS NULL GROUP BY e.owner_id),
    uploaded AS (SELECT owner_id, sum(size_bytes) AS bytes FROM dataset GROUP BY owner_id),
    summed AS (
        SELECT m.project_id, m.id AS member_id, sum(coalesce(t.device_s, 0)) AS device_s,
            sum(coalesce(u.bytes, 0)) AS upload_bytes, sum(coalesce(k.bytes, 0)) AS checkpoint_bytes
        FROM member m LEFT JOIN trained t ON t.owner_id = m.id LEFT JOIN kept k ON k.owner_id = m.id
        LEFT JOIN uploaded u ON u.owner_id = m.id GROUP BY GROUPING SETS ((m.project_id, m.id), (m.project_id)))
    INSERT INTO quota_use AS stored
        (project_id, member_id, device_s, upload_bytes, checkpoint_bytes, running_limit, held)
    SELECT s.project_id, s.member_id, s.device_s, s.upload_bytes, s.checkpoint_bytes,
        nullif(least(({LIMIT.format(name="running_runs")}), {MOST_RUNNING}), {MOST_RUNNING}),
        coalesce(s.device_s >= 3600.0 * ({LIMIT.format(name="device_hours")}), false)
    FROM summed s
    ON CONFLICT (project_id, member_id) DO UPDATE SET device_s = excluded.device_s,
        upload_bytes = excluded.upload_bytes, checkpoint_bytes = excluded.checkpoint_bytes,
        running_limit = excluded.running_limit, held = excluded.held, counted_at = clock_timestamp()
    """  # noqa: S608  pieces of this file; no value is in it
)
LOCK = text("SELECT pg_try_advisory_xact_lock(hashtext('saddle: use of quotas'))")
DUE = text(
    "SELECT coalesce(max(counted_at) < clock_timestamp() - make_interval(secs => :every_s), true) FROM quota_use"
)


def count(connection: Connection) -> None:
    """Count the use of every project, person and key now, whichever project the connection is held to."""
    with every_project(connection):
        connection.execute(COUNT)
        key_limits.hold_used_up(connection)


def count_if_due(connection: Connection) -> None:
    """Count if nobody has within `EVERY_S`, and nobody does now."""
    if connection.execute(DUE, {"every_s": EVERY_S}).scalar_one() and connection.execute(LOCK).scalar_one():
        count(connection)
