"""API keys of a project: listed, created, rotated, revoked. A secret is shown once and never read again.

Members see and end their own keys, admins all of the project; nobody gets a key that may do more than they may.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, RowMapping, Select, func, or_, select, text, update

from service.db import rights
from service.db.access import audit
from service.db.access.key_limits import LIMITS, NO_LIMITS
from service.db.access.principal import Principal
from service.db.access.projects import OPEN, issue_key, revoke_key
from service.db.tables import account, api_key, member, project
from service.errors import Conflict, Forbidden, NotFound
from service.levels import SCOPE_LEVELS, Level, effective_level


@dataclass(frozen=True)
class StoredKey:
    """A key without its secret."""

    id: str
    name: str
    member_id: str
    member: str
    scope: str
    created_at: datetime
    last_used_at: datetime | None
    expires_at: datetime | None
    revoked_at: datetime | None
    runs_per_day: int | None
    device_s_per_day: float | None
    open: bool  # neither revoked nor expired

    @property
    def lifetime_s(self) -> float | None:
        """How long it was made for; None: for ever."""
        return None if self.expires_at is None else (self.expires_at - self.created_at).total_seconds()


def _columns(*more: ColumnElement[Any]) -> Select[Any]:
    """Keys of all projects."""
    key = (api_key.c[name] for name in ("id", "name", "scope", "created_at", "last_used_at", "expires_at", *LIMITS))
    whose = (api_key.c.member_id, member.c.name.label("member"))
    query = select(*key, *whose, api_key.c.revoked_at, OPEN.label("open"), *more)
    return query.join(member, member.c.id == api_key.c.member_id)


def _query(principal: Principal) -> Select[Any]:
    """Keys that the principal may see: their own, or as an admin all of the project."""
    query = _columns().where(member.c.project_id == principal.project_id)
    return query if principal.level >= Level.ADMIN else query.where(member.c.id == principal.member_id)


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
    """Return one key; `NotFound` also for one that the principal may not see."""
    row = connection.execute(_query(principal).where(api_key.c.id == key_id)).mappings().one_or_none()
    if row is None:
        raise NotFound(f"There is no key {key_id}.")
    return _stored(row)


def create(
    connection: Connection,
    principal: Principal,
    name: str,
    lifetime_s: float | None,
    scope: str,
    member_name: str | None = None,
    limits: Mapping[str, float] = NO_LIMITS,
) -> str:
    """Return a new key, `id.secret`, of the principal or of a service account that an admin names.

    `Forbidden` where it would do more than the present request may; it ends with the key that makes it, if not before.
    `limits` are those of `key_limits` that it has, by name.
    """
    if principal.key_expires_at is not None:
        left_s = (principal.key_expires_at - datetime.now(UTC)).total_seconds()
        lifetime_s = left_s if lifetime_s is None else min(lifetime_s, left_s)
    return _make(connection, principal, name, lifetime_s, scope, member_name, limits)


def _make(
    connection: Connection,
    principal: Principal,
    name: str,
    lifetime_s: float | None,
    scope: str,
    member_name: str | None,
    limits: Mapping[str, float],
) -> str:
    if _is_limited(connection, principal):
        raise Forbidden("A key with limits of a day makes no other, which would have limits of its own.")
    if SCOPE_LEVELS[scope] > SCOPE_LEVELS[principal.scope]:
        raise Forbidden(
            f"A key of the scope {principal.scope} cannot make one of the scope {scope}: choose a narrower."
        )
    owner = principal.member_id if member_name is None else _service_member(connection, principal, member_name, scope)
    with rights.acting_as(connection, "saddle_keymaker"):
        key = issue_key(connection, owner, name, lifetime_s, scope, limits)
    told = {"name": name, "scope": scope, "member": member_name or principal.member, **limits}
    audit.record(connection, principal, "key.create", key.partition(".")[0], **told)
    return key


def _is_limited(connection: Connection, principal: Principal) -> bool:
    limited = or_(*(api_key.c[name].is_not(None) for name in LIMITS))
    return connection.execute(select(api_key.c.id).where(api_key.c.id == principal.key_id, limited)).first() is not None


def _service_member(connection: Connection, principal: Principal, name: str, scope: str) -> str:
    """Return the id of a service account's member: `Forbidden` for people, who make their keys themselves."""
    if principal.level < Level.ADMIN:
        raise Forbidden("Only admins make keys for a service account: leave `member` out for a key of your own.")
    query = select(member.c.id, member.c.role, account.c.kind, account.c.admin)
    query = query.join(account, account.c.id == member.c.account_id)
    mine = (member.c.project_id == principal.project_id) & (member.c.name == name) & member.c.removed_at.is_(None)
    row = connection.execute(query.where(mine)).one_or_none()
    if row is None:
        raise NotFound(f"The project has no member {name}.")
    if row.kind != "service" and row.id != principal.member_id:
        raise Forbidden(f"{name} is a person, who makes their own keys; only service accounts get theirs from admins.")
    if effective_level(row.role, scope, row.admin) > principal.level:
        raise Forbidden(f"{name} may do more than you: only somebody who may as much makes it a key.")
    return str(row.id)


def rotate(connection: Connection, principal: Principal, key_id: str, overlap_s: float) -> str:
    """Return a new key like an old one, which ends after `overlap_s`, if not before."""
    old = get(connection, principal, key_id)
    if not old.open:
        raise Conflict("The key is revoked or expired: create another one.")
    whose = None if old.member_id == principal.member_id else old.member
    limits = {name: value for name in LIMITS if (value := getattr(old, name)) is not None}
    key = _make(connection, principal, old.name, old.lifetime_s, old.scope, whose, limits)
    ends = func.least(api_key.c.expires_at, func.clock_timestamp() + timedelta(seconds=overlap_s))
    with rights.acting_as(connection, "saddle_keymaker"):
        connection.execute(update(api_key).where(api_key.c.id == key_id).values(expires_at=ends))
    audit.record(connection, principal, "key.rotate", key_id, by=key.partition(".")[0], overlap_s=overlap_s)
    return key


def revoke(connection: Connection, principal: Principal, key_id: str) -> None:
    """Revoke a key from the next request on; `Conflict` for the key in use. Repeating it changes nothing."""
    found = get(connection, principal, key_id)
    if key_id == principal.key_id:
        raise Conflict("A key cannot revoke itself: create another one, and revoke this one with it.")
    if SCOPE_LEVELS[found.scope] > SCOPE_LEVELS[principal.scope]:
        raise Forbidden(f"A key of the scope {principal.scope} cannot end one of the scope {found.scope}.")
    with rights.acting_as(connection, "saddle_keymaker"):
        revoked = revoke_key(connection, key_id)
    if revoked:
        audit.record(connection, principal, "key.revoke", key_id, name=found.name, member=found.member)


USED = text(
    """
    UPDATE api_key SET last_used_at = clock_timestamp()
    WHERE id = ANY(:ids) AND (last_used_at IS NULL OR last_used_at < clock_timestamp() - interval '50 s')
    """
)


def note_use(connection: Connection, key_ids: Sequence[str]) -> None:
    """Note that these keys were used just now, unless another process has within the minute."""
    connection.execute(USED, {"ids": list(key_ids)})


def list_all(connection: Connection) -> Sequence[tuple[str, StoredKey]]:
    """Every key that opens, of all projects, oldest first, each after its project's name: for the operator."""
    query = _columns(project.c.name.label("project")).join(project, project.c.id == member.c.project_id)
    rows = connection.execute(query.where(OPEN).order_by(project.c.name, api_key.c.id)).mappings()
    return [(row["project"], _stored(row)) for row in rows]
