"""Remedies that are tried: which runs show whether one helped. What they show is judged anew at each look."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, insert, select, text

from service.db.access.projects import Principal
from service.db.runs.runs import StoredRun
from service.db.tables import verification
from service.errors import Conflict
from service.ids import new_id


@dataclass(frozen=True)
class StoredVerification:
    """The finding as it was, and the experiments of runs without its remedy and with it."""

    id: str
    run_id: str
    finding: str
    found: dict[str, Any]
    seeds: tuple[int, ...]
    from_step: int
    control_id: str
    job_id: str | None
    patched_id: str | None
    failure: str | None
    created_at: datetime


COLUMNS = [verification.c[name] for name in StoredVerification.__dataclass_fields__]


def _stored(row: Any) -> StoredVerification:
    return StoredVerification(**{**row, "seeds": tuple(row["seeds"])})


@dataclass(frozen=True)
class Tried:
    """What is made at once; the experiment with the remedy may have to wait for a job."""

    found: dict[str, Any]
    seeds: tuple[int, ...]
    from_step: int
    control_id: str
    job_id: str | None = None
    patched_id: str | None = None


def add(connection: Connection, principal: Principal, run: StoredRun, tried: Tried, key: str | None) -> str:
    """Store it; its id. The caller has locked the run and looked for an earlier one with this key."""
    made = new_id("ver")
    row = {
        "id": made,
        "project_id": principal.project_id,
        "owner_id": principal.member_id,
        "run_id": run.id,
        "finding": tried.found["id"],
        "idempotency_key": key,
        **tried.__dict__,
        "seeds": list(tried.seeds),
    }
    connection.execute(insert(verification).values(row))
    return made


def earlier(connection: Connection, run_id: str, finding: str, seeds: int, key: str | None) -> str | None:
    """The one that was made with this idempotency key; `Conflict` where it was of another request."""
    if key is None:
        return None
    query = select(verification.c.id, verification.c.finding, verification.c.seeds)
    row = connection.execute(
        query.where(verification.c.run_id == run_id, verification.c.idempotency_key == key)
    ).one_or_none()
    if row is None:
        return None
    if (row.finding, len(row.seeds)) != (finding, seeds):
        raise Conflict("This Idempotency-Key was used for another request: send a new key with a new request.")
    return str(row.id)


def of_finding(connection: Connection, principal: Principal, run_id: str, finding: str) -> list[StoredVerification]:
    """Each time its remedy was tried, oldest first."""
    query = select(*COLUMNS).where(
        verification.c.run_id == run_id,
        verification.c.finding == finding,
        verification.c.project_id == principal.project_id,
    )
    return [_stored(row) for row in connection.execute(query.order_by(verification.c.id)).mappings()]


DUE = text(
    """
    SELECT v.id, v.owner_id FROM verification v JOIN run job ON job.id = v.job_id
    WHERE v.patched_id IS NULL AND v.failure IS NULL AND job.state IN ('succeeded', 'failed', 'cancelled')
    ORDER BY v.id LIMIT 1 FOR UPDATE OF v SKIP LOCKED
    """
)
ATTACH = text("UPDATE verification SET patched_id = :patched_id, failure = :failure WHERE id = :id")


def due(connection: Connection) -> tuple[StoredVerification, str] | None:
    """One whose job has ended, locked, and who asked for it; another process that looks meanwhile gets another."""
    row = connection.execute(DUE).one_or_none()
    if row is None:
        return None
    found = connection.execute(select(*COLUMNS).where(verification.c.id == row.id)).mappings().one()
    return _stored(found), row.owner_id


def settle(connection: Connection, found: StoredVerification, patched_id: str | None, failure: str | None) -> None:
    """The remedy is being tried, or cannot be and why."""
    connection.execute(ATTACH, {"id": found.id, "patched_id": patched_id, "failure": failure})
