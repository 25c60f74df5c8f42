"""Quotas: what a project, and each person in it, may have waiting, running, stored, or trained in a month.

A limit is the most specific row of `quota` (of this person, of this project, of all), else the default below. Use that
costs a scan (device hours, stored bytes) is counted in the background, see `service.db.access.quota_use`; so a quota
may be exceeded by what one minute adds.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import Connection, func, text
from sqlalchemy.dialects.postgresql import insert

from service.db.access import key_limits, quota_use
from service.db.access.key_limits import KeyLimits
from service.db.access.principal import Principal
from service.db.tables import quota
from service.errors import Problem, QuotaExceeded

Subject = Literal["project", "person"]
GIB = 2**30
NEAR = 1000  # waiting runs: where fewer are left, requests of a project are admitted one after the other


@dataclass(frozen=True)
class Quota:
    """One quota; the defaults hold where no row says otherwise, and None is no limit."""

    what: str
    unit: str
    project: int | None
    person: int | None
    fix: str


QUOTAS: Mapping[str, Quota] = {
    "queued_runs": Quota("waiting runs", "runs", 10_000, 5_000, "wait until some have started, or cancel some"),
    "running_runs": Quota("runs that train at once", "runs", None, None, "more of them wait"),
    "device_hours": Quota("device hours in a month (UTC)", "hours", None, None, "wait for the next month"),
    "run_hours": Quota("hours that one run trains", "hours", 720, None, "give it fewer steps"),
    "upload_bytes": Quota("bytes of uploads", "bytes", 20 * GIB, None, "delete uploads that nothing needs"),
    "checkpoint_bytes": Quota(
        "bytes of checkpoints", "bytes", 500 * GIB, None, "keep fewer checkpoints, or delete experiments"
    ),
}


@dataclass(frozen=True)
class Standing:
    """The limits that hold for a principal, and how much of each is used."""

    principal: Principal
    limits: Mapping[tuple[Subject, str], int | None]
    used: Mapping[tuple[Subject, str], float]
    key: KeyLimits | None = None  # of the principal's key; None: it has no key

    def check(self, name: str, more: float) -> None:
        """Raise `QuotaExceeded` if `more` would exceed a limit; a use that nobody has counted yet is 0."""
        for subject in ("project", "person"):
            limit, used = self.limits[subject, name], self.used.get((subject, name), 0.0)
            if limit is not None and (used + more > limit or used >= limit):
                raise _exceeded(self.principal, subject, name, limit, used, more)

    def longest_run_s(self, wanted: float | None) -> float | None:
        """Return the seconds that a run may train: as wanted, and no more than the quota."""
        hours = (self.limits["project", "run_hours"], self.limits["person", "run_hours"])
        found = [wanted, *(3600.0 * each for each in hours if each is not None)]
        found += [self.key.device_s_per_day] if self.key else []
        return min((each for each in found if each is not None), default=None)


def _exceeded(principal: Principal, subject: Subject, name: str, limit: int, used: float, more: float) -> QuotaExceeded:
    kind = QUOTAS[name]
    whose = f"The project {principal.project} has" if subject == "project" else f"{principal.member} has"
    raised_by = "a server admin" if subject == "project" else f"an admin of the project {principal.project}"
    asked = f"this asks for {_amount(more, kind.unit)} more" if more > 0 else "none are left"
    detail = (
        f"{whose} a quota of {_amount(limit, kind.unit)} for {kind.what}; {_amount(used, kind.unit)} are used, and"
        f" {asked}: {kind.fix}. Who can raise it: {raised_by}."
    )
    told = {"quota": name, "of": subject, "limit": limit, "used": round(used, 3), "asked": more}
    return QuotaExceeded(detail, [Problem(f"/quotas/{subject}/{name}", "quota_exceeded", detail, told)])


def _amount(value: float, unit: str) -> str:
    if unit == "bytes":
        return f"{value / GIB:,.4g} GiB" if value >= 0.01 * GIB else f"{value:,.0f} bytes"
    return f"{value:,.4g}" if unit == "hours" else f"{value:,.0f}"


STANDING = text(
    """
    SELECT (SELECT coalesce(jsonb_agg(jsonb_build_array(subject, name, value)
                ORDER BY member_id IS NOT NULL, project_id IS NOT NULL), '[]')
            FROM quota WHERE (project_id IS NULL OR project_id = :project_id)
                AND (member_id IS NULL OR member_id = :member_id)) AS limits,
        (SELECT coalesce(jsonb_agg(jsonb_build_array(member_id, device_s, upload_bytes, checkpoint_bytes)), '[]')
            FROM quota_use WHERE project_id = :project_id AND (member_id IS NULL OR member_id = :member_id)) AS used,
        (SELECT count(*) FROM run WHERE state = 'queued' AND project_id = :project_id) AS queued,
        (SELECT jsonb_build_array(id, runs_per_day, device_s_per_day) FROM api_key WHERE id = :key_id) AS key
    """
)
COUNT_MINE = text(
    """
    SELECT count(*) FILTER (WHERE r.state = 'queued') AS queued, count(*) FILTER (WHERE r.state = 'running') AS running
    FROM run r
    WHERE r.state IN ('queued', 'running') AND r.project_id = :project_id AND r.owner_id = :member_id
    """
)
ALONE = text("SELECT pg_advisory_xact_lock(hashtextextended(:project_id, 3))")


def standing(
    connection: Connection, principal: Principal, queueing: int = 0, project_bytes: int | None = None
) -> Standing:
    """Return the principal's limits and use, in one statement; `project_bytes` is the server's default of uploads.

    Runs of the person are counted, by a second one, only where `queueing` more could exceed that person's limit.
    """
    whose = {"project_id": principal.project_id, "member_id": principal.member_id}
    row = connection.execute(STANDING, whose | {"key_id": principal.key_id}).one()
    limits = _defaults(project_bytes) | {(subject, name): value for subject, name, value in row.limits}
    used: dict[tuple[Subject, str], float] = {("project", "queued_runs"): row.queued}
    for member_id, device_s, upload_bytes, checkpoint_bytes in row.used:
        subject: Subject = "project" if member_id is None else "person"
        used[subject, "device_hours"] = device_s / 3600
        used[subject, "upload_bytes"], used[subject, "checkpoint_bytes"] = upload_bytes, checkpoint_bytes
    mine = limits["person", "queued_runs"]
    if mine is not None and row.queued + queueing > mine:
        used["person", "queued_runs"] = connection.execute(COUNT_MINE, whose).one().queued
    return Standing(principal, limits, used, KeyLimits(*row.key) if row.key else None)


def _defaults(project_bytes: int | None) -> dict[tuple[Subject, str], int | None]:
    made: dict[tuple[Subject, str], int | None] = {}
    for name, kind in QUOTAS.items():
        made["project", name], made["person", name] = kind.project, kind.person
    if project_bytes is not None:
        made["project", "upload_bytes"] = project_bytes
    return made


def admit(connection: Connection, principal: Principal, runs: int, checkpoint_bytes: int = 0) -> Standing:
    """Return what holds for a principal who queues runs; raise `QuotaExceeded` where they may not."""
    found = standing(connection, principal, runs)
    if _is_near(found, runs):
        connection.execute(ALONE, {"project_id": principal.project_id})
        found = standing(connection, principal, runs)
    found.check("queued_runs", runs)
    found.check("device_hours", 0)
    found.check("checkpoint_bytes", checkpoint_bytes)
    if found.key:
        key_limits.admit(connection, found.key, runs)
    return found


def _is_near(found: Standing, runs: int) -> bool:
    """Return whether requests that are sent at once could together queue more than a limit allows."""
    queued = found.used["project", "queued_runs"]
    limits = (found.limits["project", "queued_runs"], found.limits["person", "queued_runs"])
    return any(limit is not None and limit - queued - runs < NEAR for limit in limits)


RUNNING = text("SELECT count(*) FROM run WHERE state = 'running' AND project_id = :project_id")


def full_standing(connection: Connection, principal: Principal, project_bytes: int) -> Standing:
    """Return the principal's limits and use, with every count of runs: for people to read."""
    found = standing(connection, principal, project_bytes=project_bytes)
    whose = {"project_id": principal.project_id, "member_id": principal.member_id}
    mine = connection.execute(COUNT_MINE, whose).one()
    counted: dict[tuple[Subject, str], float] = {
        ("project", "running_runs"): connection.execute(RUNNING, whose).scalar_one(),
        ("person", "queued_runs"): mine.queued,
        ("person", "running_runs"): mine.running,
    }
    return Standing(principal, found.limits, {**found.used, **counted}, found.key)


def set_limit(
    connection: Connection,
    name: str,
    subject: Subject,
    project_id: str | None,
    member_id: str | None,
    value: int | None,
) -> None:
    """Set a limit of one or every project or person; None is no limit. It holds at once."""
    row = {"name": name, "subject": subject, "project_id": project_id, "member_id": member_id, "value": value}
    keys = ["name", "subject", "project_id", "member_id"]
    changed = {"value": value, "set_at": func.clock_timestamp()}
    connection.execute(insert(quota).values(**row).on_conflict_do_update(index_elements=keys, set_=changed))
    quota_use.count(connection)


def remove_limit(
    connection: Connection, name: str, subject: Subject, project_id: str | None, member_id: str | None
) -> None:
    """Let the less specific limit hold again."""
    chosen = (
        (quota.c.name == name)
        & (quota.c.subject == subject)
        & quota.c.project_id.is_not_distinct_from(project_id)
        & quota.c.member_id.is_not_distinct_from(member_id)
    )
    connection.execute(quota.delete().where(chosen))
    quota_use.count(connection)
