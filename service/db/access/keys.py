"""API keys of a project: listed, created, revoked. A secret is shown once and never read again."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, RowMapping, Select, select

from service.db import rights
from service.db.access.principal import Principal
from service.db.access.projects import OPEN, issue_key, revoke_key
from service.db.tables import api_key, member, project
from service.errors import Conflict, Forbidden, NotFound
from service.levels import SCOPE_LEVELS


@dataclass(frozen=True)
class StoredKey:
    """A key without its secret."""

    id: str
    name: str
    member: str
    scope: str
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    open: bool  # neither revoked nor expired


def _columns(*more: ColumnElement[Any]) -> Select[Any]:
    """Keys of all projects."""
    columns = (api_key.c.id, api_key.c.name, member.c.name.label("member"), api_key.c.scope, api_key.c.created_at)
    query = select(*columns, api_key.c.expires_at, api_key.c.revoked_at, OPEN.label("open"), *more)
    return query.join(member, member.c.id == api_key.c.member_id)


def _query(principal: Principal) -> Select[Any]:
    """Keys of the principal's project."""
    return _columns().where(member.c.project_id == principal.project_id)


def _stored(row: RowMapping) -> StoredKey:
    return StoredKey(**{name: row[name] for name in StoredKey.__dataclass_fields__})


def page(
    connection: Connection, principal: Principal, limit: int, before: str | None = None, closed: bool = False
) -> Sequence[StoredKey]:
    """The newest `limit` keys whose id sorts before `before`; with `closed`, revoked and expired ones too."""
    query = _query(principal).order_by(api_key.c.id.desc()).limit(limit)
    if before is not None:
        query = query.where(api_key.c.id < before)
    if not closed:
        query = query.where(OPEN)
    return [_stored(row) for row in connection.execute(query).mappings()]


def get(connection: Connection, principal: Principal, key_id: str) -> StoredKey:
    """Return one key; `NotFound` also for another project's."""
    row = connection.execute(_query(principal).where(api_key.c.id == key_id)).mappings().one_or_none()
    if row is None:
        raise NotFound(f"There is no key {key_id}.")
    return _stored(row)


def create(connection: Connection, principal: Principal, name: str, lifetime_s: float | None, scope: str) -> str:
    """Return a new key, `id.secret`, for the member who asks; `Forbidden` if it may more than the present one."""
    if SCOPE_LEVELS[scope] > SCOPE_LEVELS[principal.scope]:
        raise Forbidden(
            f"A key of the scope {principal.scope} cannot make one of the scope {scope}: choose a narrower."
        )
    with rights.acting_as(connection, "saddle_keymaker"):
        return issue_key(connection, principal.member_id, name, lifetime_s, scope)


def revoke(connection: Connection, principal: Principal, key_id: str) -> None:
    """Revoke a key from the next request on; `Conflict` for the key in use. Repeating it changes nothing."""
    get(connection, principal, key_id)
    if key_id == principal.key_id:
        raise Conflict("A key cannot revoke itself: create another one, and revoke this one with it.")
    with rights.acting_as(connection, "saddle_keymaker"):
        revoke_key(connection, key_id)


def list_all(connection: Connection) -> Sequence[tuple[str, StoredKey]]:
    """Every key that opens, of all projects, oldest first, each after its project's name: for the operator."""
    query = _columns(project.c.name.label("project")).join(project, project.c.id == member.c.project_id)
    rows = connection.execute(query.where(OPEN).order_by(project.c.name, api_key.c.id)).mappings()
    return [(row["project"], _stored(row)) for row in rows]
