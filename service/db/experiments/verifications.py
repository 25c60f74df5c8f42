"""Verifications: a finding's remedy, and the experiments that are trained without it and with it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, insert, select, text

from service.db.access.principal import Principal
from service.db.runs.runs import StoredRun
from service.db.tables import verification
from service.errors import Conflict
from service.ids import new_id


@dataclass(frozen=True)
class StoredVerification:
    """A finding as it was, and the experiments of the runs without its remedy (control) and with it (patched)."""

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
class NewVerification:
    """What is stored at once; the patched experiment may have to wait for a probe job."""

    found: dict[str, Any]
    seeds: tuple[int, ...]
    from_step: int
    control_id: str
    job_id: str | None = None
    patched_id: str | None = None


def add(connection: Connection, principal: Principal, run: StoredRun, new: NewVerification, key: str | None) -> str:
    """Store a verification and return its id. The caller has locked the run and found no earlier one with this key."""
    made = new_id("ver")
    row = {
        "id": made,
        "project_id": principal.project_id,
        "owner_id": principal.member_id,
        "run_id": run.id,
        "finding": new.found["id"],
        "idempotency_key": key,
        **new.__dict__,
        "seeds": list(new.seeds),
    }
    connection.execute(insert(verification).values(row))
    return made


def earlier(connection: Connection, run_id: str, finding: str, seeds: int, key: str | None) -> str | None:
    """Return the one made with this idempotency key; raise `Conflict` where that was another request."""
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
    """Return every verification of a finding, oldest first."""
    query = select(*COLUMNS).where(
        verification.c.run_id == run_id,
        verification.c.finding == finding,
        verification.c.project_id == principal.project_id,
    )
    return [_stored(row) for row in connection.execute(query.order_by(verification.c.id)).mappings()]


DUE = text(
    """
    SELECT v.id, v.owner_id, job.key_id FROM verification v JOIN run job ON job.id = v.job_id
    WHERE v.patched_id IS NULL AND v.failure IS NULL AND job.state IN ('succeeded', 'failed', 'cancelled')
    ORDER BY v.id LIMIT 1 FOR UPDATE OF v SKIP LOCKED
    """
)


def lock_due(connection: Connection) -> tuple[StoredVerification, str, str | None] | None:
    """Lock a verification whose probe job has ended; return it with its owner's id and its key's, if any.

    Skip what others have locked.
    """
    row = connection.execute(DUE).one_or_none()
    if row is None:
        return None
    found = connection.execute(select(*COLUMNS).where(verification.c.id == row.id)).mappings().one()
    return _stored(found), row.owner_id, row.key_id


def attach_patched(connection: Connection, stored: StoredVerification, patched_id: str) -> None:
    """Record the experiment with the remedy."""
    connection.execute(verification.update().where(verification.c.id == stored.id).values(patched_id=patched_id))


def record_failure(connection: Connection, stored: StoredVerification, why: str) -> None:
    """Record why the remedy cannot be tried."""
    connection.execute(verification.update().where(verification.c.id == stored.id).values(failure=why))
