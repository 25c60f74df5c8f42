"""Studies: added, read, locked while they advance, and changed by commands."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, Select, func, select
from sqlalchemy.dialects.postgresql import insert as upsert

from service.db.access.principal import Principal
from service.db.tables import member, study
from service.errors import Conflict, NotFound
from service.ids import new_id

ENDED = ("finished", "stopped", "failed")


@dataclass(frozen=True)
class StoredStudy:
    """A row of a study."""

    id: str
    project_id: str
    owner_id: str
    key_id: str | None  # that posted it
    owner: str
    owner_left_at: datetime | None  # removed from the project
    name: str
    document: dict[str, Any]
    state: str  # running, paused, finished, stopped or failed
    why: str | None
    comparison_id: str | None
    cloned_from: str | None
    created_at: datetime
    finished_at: datetime | None
    deleted_at: datetime | None


_OWNERS = {"owner": member.c.name.label("owner"), "owner_left_at": member.c.removed_at.label("owner_left_at")}
_ROWS: Select[Any] = select(
    *(_OWNERS[name] if name in _OWNERS else study.c[name] for name in StoredStudy.__dataclass_fields__)
).join(member, member.c.id == study.c.owner_id)


def _stored(row: Row[Any]) -> StoredStudy:
    return StoredStudy(**row._mapping)


def add(
    connection: Connection,
    principal: Principal,
    name: str,
    document: dict[str, Any],
    cloned_from: str | None = None,
    key: str | None = None,
    request_hash: str | None = None,
) -> tuple[StoredStudy, bool]:
    """Store a study; return it, and whether this call did.

    With an idempotency key seen before in this project the stored one is returned; `Conflict` if its request differed.
    """
    row = {
        "id": new_id("std"),
        "project_id": principal.project_id,
        "owner_id": principal.member_id,
        "key_id": principal.key_id or None,
        "name": name,
        "document": document,
        "cloned_from": cloned_from,
        "idempotency_key": key,
        "request_hash": request_hash,
    }
    made = connection.execute(upsert(study).values(row).on_conflict_do_nothing().returning(study.c.id)).scalar()
    if made is not None:
        return get(connection, principal, made), True
    ours = (study.c.project_id == principal.project_id) & (study.c.idempotency_key == key)
    known = connection.execute(select(study.c.id, study.c.request_hash).where(ours)).one()
    if known.request_hash != request_hash:
        raise Conflict("This Idempotency-Key was used for another request: send a new key with a new request.")
    return get(connection, principal, known.id), False


def get(connection: Connection, principal: Principal, study_id: str, lock: bool = False) -> StoredStudy:
    """Return a study of the principal's project, or raise `NotFound`; `lock` keeps it from advancing meanwhile."""
    query = _ROWS.where(study.c.id == study_id, study.c.project_id == principal.project_id)
    row = connection.execute(query.with_for_update(of=study) if lock else query).one_or_none()
    if row is None:
        raise NotFound(f"There is no study {study_id}.")
    if row.deleted_at is not None:
        raise NotFound(f"Study {study_id} is in the bin: restore it first.")
    return _stored(row)


def page(connection: Connection, principal: Principal, limit: int, before: str | None) -> list[StoredStudy]:
    """Return the next `limit` studies of the project, newest first."""
    query = _ROWS.where(study.c.project_id == principal.project_id, study.c.deleted_at.is_(None))
    if before is not None:
        query = query.where(study.c.id < before)
    return [_stored(row) for row in connection.execute(query.order_by(study.c.id.desc()).limit(limit))]


def lock_next_running(connection: Connection, after: str) -> StoredStudy | None:
    """Lock and return the first running study with an id beyond `after`; skip what others have locked."""
    query = _ROWS.where(study.c.state == "running", study.c.id > after).order_by(study.c.id).limit(1)
    row = connection.execute(query.with_for_update(of=study, skip_locked=True)).one_or_none()
    return None if row is None else _stored(row)


def set_state(connection: Connection, study_id: str, state: str, why: str | None) -> None:
    """Change the state; the end is now for a state that is one."""
    finished_at = func.clock_timestamp() if state in ENDED else None
    changed = study.update().where(study.c.id == study_id)
    connection.execute(changed.values(state=state, why=why, finished_at=finished_at))


def set_document(connection: Connection, study_id: str, document: dict[str, Any]) -> None:
    """Change the document, whose budget was extended."""
    connection.execute(study.update().where(study.c.id == study_id).values(document=document))


def set_comparison(connection: Connection, study_id: str, comparison_id: str) -> None:
    """Record which comparison confirms the best trials."""
    connection.execute(study.update().where(study.c.id == study_id).values(comparison_id=comparison_id))


def names(connection: Connection, principal: Principal, ids: Sequence[str]) -> dict[str, str]:
    """Return the names of these studies of the project, by id."""
    query = select(study.c.id, study.c.name).where(study.c.id.in_(ids), study.c.project_id == principal.project_id)
    return {row.id: row.name for row in connection.execute(query)}
