"""Storage use of runs: bytes of points in Postgres, and of checkpoints."""

from dataclasses import dataclass

from sqlalchemy import Connection, text

from service.db.access.principal import Principal

POINTS = """
    SELECT c.run_id, sum(c.n) AS points, sum(pg_column_size(c.values) + coalesce(pg_column_size(c.steps), 0)
        + coalesce(pg_column_size(c.buckets), 0)) AS bytes
    FROM metric_chunk c WHERE c.run_id IN (SELECT id FROM chosen) GROUP BY c.run_id
"""
CHECKPOINTS = """
    SELECT c.run_id, count(*) AS kept, sum(c.size_bytes) AS bytes
    FROM checkpoint c WHERE c.removed_at IS NULL AND c.run_id IN (SELECT id FROM chosen) GROUP BY c.run_id
"""
USED = text(
    f"""
    WITH chosen AS (SELECT id, experiment_id FROM run WHERE project_id = :project_id
        AND (cast(:experiment_id AS text) IS NULL OR experiment_id = :experiment_id)),
    points AS ({POINTS}), checkpoints AS ({CHECKPOINTS})
    SELECT r.id, r.experiment_id, coalesce(p.points, 0) AS points, coalesce(p.bytes, 0) AS points_bytes,
        coalesce(c.kept, 0) AS checkpoints, coalesce(c.bytes, 0) AS checkpoints_bytes
    FROM chosen r LEFT JOIN points p ON p.run_id = r.id LEFT JOIN checkpoints c ON c.run_id = r.id
    ORDER BY coalesce(p.bytes, 0) + coalesce(c.bytes, 0) DESC, r.id
    """  # noqa: S608  pieces of this file; every value is bound
)


@dataclass(frozen=True)
class StorageUse:
    """The storage that one run uses."""

    run_id: str
    experiment_id: str
    points: int
    points_bytes: int
    checkpoints: int
    checkpoints_bytes: int


def storage_use(connection: Connection, principal: Principal, experiment_id: str | None = None) -> list[StorageUse]:
    """Return the use of each run of the project, or of one experiment, largest first."""
    values = {"project_id": principal.project_id, "experiment_id": experiment_id}
    return [StorageUse(r[0], r[1], *map(int, r[2:])) for r in connection.execute(USED, values)]
