"""Quotas that are nearly used up, of a project and of each person in it."""

from dataclasses import dataclass

from sqlalchemy import Connection, text

from service.db.access.quotas import QUOTAS

NEAR = 0.9  # of the limit
USE = text(
    """
    SELECT u.member_id, m.name AS member, u.device_s, u.upload_bytes, u.checkpoint_bytes
    FROM quota_use u LEFT JOIN member m ON m.id = u.member_id
    WHERE u.project_id = :project_id AND m.removed_at IS NULL
    """
)
LIMITS = text(
    """
    SELECT name, subject, member_id, value FROM quota WHERE project_id IS NULL OR project_id = :project_id
    ORDER BY member_id IS NOT NULL, project_id IS NOT NULL
    """
)


@dataclass(frozen=True)
class NearQuota:
    """A quota of which little is left."""

    name: str
    what: str
    unit: str
    member_id: str | None  # None: the project's
    member: str | None
    limit: int
    used: float


def near_quotas(connection: Connection, project_id: str) -> list[NearQuota]:
    """Return the quotas of a project and its people that are used up to nine tenths, as they were last counted."""
    asked = {"project_id": project_id}
    limits = connection.execute(LIMITS, asked).all()
    found = []
    for use in connection.execute(USE, asked):
        subject = "project" if use.member_id is None else "person"
        counted = {
            "device_hours": use.device_s / 3600,
            "upload_bytes": float(use.upload_bytes),
            "checkpoint_bytes": float(use.checkpoint_bytes),
        }
        for name, used in counted.items():
            kind = QUOTAS[name]
            limit = kind.project if subject == "project" else kind.person
            for row in limits:  # the most specific is the last
                if (row.name, row.subject) == (name, subject) and row.member_id in (None, use.member_id):
                    limit = row.value
            if limit is not None and used >= NEAR * limit:
                found.append(NearQuota(name, kind.what, kind.unit, use.member_id, use.member, limit, used))
    return found
