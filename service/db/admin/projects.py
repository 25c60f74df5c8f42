"""All projects: their people, use and limits, and what each stores."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from service.db.access.quotas import QUOTAS
from service.db.runs import turns


@dataclass(frozen=True)
class ProjectUse:
    """A project with its members, how much it uses, and its limits by quota (None: no limit)."""

    id: str
    name: str
    created_at: datetime
    members: list[dict[str, Any]]  # name, role, last first
    queued: int
    running: int
    recent_s: float
    device_hours: float
    upload_bytes: int
    checkpoint_bytes: int
    limits: Mapping[str, int | None]

    @property
    def used(self) -> dict[str, float]:
        """What is used of each quota that adds up."""
        return {
            "queued_runs": self.queued,
            "running_runs": self.running,
            "device_hours": self.device_hours,
            "upload_bytes": self.upload_bytes,
            "checkpoint_bytes": self.checkpoint_bytes,
        }


PROJECTS = text(
    f"""
    WITH {turns.USE},
    recent AS (SELECT project_id, sum(seconds) AS seconds FROM used_by_project GROUP BY project_id),
    open AS (SELECT project_id, count(*) FILTER (WHERE state = 'queued') AS queued,
            count(*) FILTER (WHERE state = 'running') AS running
        FROM run WHERE state IN ('queued', 'running') GROUP BY project_id),
    people AS (SELECT project_id, jsonb_agg(jsonb_build_object('name', name, 'role', role) ORDER BY name) AS members
        FROM member WHERE removed_at IS NULL GROUP BY project_id),
    own AS (SELECT project_id, jsonb_object_agg(name, value) AS limits
        FROM quota WHERE subject = 'project' AND project_id IS NOT NULL GROUP BY project_id),
    common AS (SELECT coalesce(jsonb_object_agg(name, value), '{{}}') AS limits
        FROM quota WHERE subject = 'project' AND project_id IS NULL)
    SELECT p.id, p.name, p.created_at, coalesce(people.members, '[]') AS members, coalesce(open.queued, 0) AS queued,
        coalesce(open.running, 0) AS running, coalesce(recent.seconds, 0) AS recent_s,
        coalesce(q.device_s, 0) / 3600 AS device_hours, coalesce(q.upload_bytes, 0) AS upload_bytes,
        coalesce(q.checkpoint_bytes, 0) AS checkpoint_bytes, common.limits || coalesce(own.limits, '{{}}') AS limits
    FROM project p CROSS JOIN common LEFT JOIN people ON people.project_id = p.id
    LEFT JOIN open ON open.project_id = p.id LEFT JOIN recent ON recent.project_id = p.id
    LEFT JOIN own ON own.project_id = p.id
    LEFT JOIN quota_use q ON q.project_id = p.id AND q.member_id IS NULL
    WHERE p.name > :after ORDER BY p.name LIMIT :most
    """  # noqa: S608  pieces of SQL; every value is bound
)


def projects(connection: Connection, after: str, most: int) -> list[ProjectUse]:
    """Return projects by name, in one statement beside that of the pools; what takes a scan is up to a minute old."""
    given = {"pools": turns.known_pools(connection), "after": after, "most": most, **turns.parameters(connection)}
    defaults = {name: kind.project for name, kind in QUOTAS.items()}
    rows = connection.execute(PROJECTS, given).mappings()
    return [ProjectUse(**{**row, "limits": defaults | row["limits"]}) for row in rows]


@dataclass(frozen=True)
class ProjectStorage:
    """What one project stores."""

    project_id: str
    project: str
    experiments: int
    points: int
    uploads: int
    upload_bytes: int
    checkpoints: int
    checkpoint_bytes: int


STORAGE = text(
    """
    WITH made AS (SELECT project_id, count(*) AS n FROM experiment WHERE project_id IS NOT NULL GROUP BY project_id),
    points AS (SELECT r.project_id, sum(s.n) AS n FROM series s JOIN run r ON r.id = s.run_id GROUP BY r.project_id),
    uploads AS (SELECT project_id, count(*) AS n, sum(size_bytes) AS bytes FROM dataset GROUP BY project_id),
    kept AS (SELECT r.project_id, count(*) AS n, sum(c.size_bytes) AS bytes FROM checkpoint c
        JOIN run r ON r.id = c.run_id WHERE c.removed_at IS NULL GROUP BY r.project_id)
    SELECT p.id AS project_id, p.name AS project, coalesce(made.n, 0) AS experiments, coalesce(points.n, 0) AS points,
        coalesce(uploads.n, 0) AS uploads, coalesce(uploads.bytes, 0) AS upload_bytes,
        coalesce(kept.n, 0) AS checkpoints, coalesce(kept.bytes, 0) AS checkpoint_bytes
    FROM project p LEFT JOIN made ON made.project_id = p.id LEFT JOIN points ON points.project_id = p.id
    LEFT JOIN uploads ON uploads.project_id = p.id LEFT JOIN kept ON kept.project_id = p.id
    ORDER BY coalesce(uploads.bytes, 0) + coalesce(kept.bytes, 0) DESC, p.name LIMIT :most
    """
)
DATABASE_BYTES = text("SELECT pg_database_size(current_database())")


def storage(connection: Connection, most: int) -> tuple[int, list[ProjectStorage]]:
    """Return the bytes of the database, and what each project stores, most first."""
    size = connection.execute(DATABASE_BYTES).scalar_one()
    return size, [ProjectStorage(**row) for row in connection.execute(STORAGE, {"most": most}).mappings()]
