"""Members of a project: listed, given another role, removed. A project keeps one person who is its admin."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, func, select, update

from service.db import rights
from service.db.access.principal import Principal
from service.db.tables import account, api_key, invitation, member, session
from service.errors import Conflict, NotFound


@dataclass(frozen=True)
class StoredMember:
    """An account in a project."""

    id: str
    account_id: str
    name: str
    role: str
    kind: str
    created_at: datetime


def _query(principal: Principal) -> Select[Any]:
    columns = (member.c.id, member.c.account_id, member.c.name, member.c.role, account.c.kind, member.c.created_at)
    joined = select(*columns).join(account, account.c.id == member.c.account_id)
    return joined.where(member.c.project_id == principal.project_id, member.c.removed_at.is_(None))


def page(connection: Connection, principal: Principal, limit: int, before: str | None) -> Sequence[StoredMember]:
    """The newest `limit` members whose id sorts before `before`."""
    query = _query(principal).order_by(member.c.id.desc()).limit(limit)
    if before is not None:
        query = query.where(member.c.id < before)
    return [StoredMember(**row) for row in connection.execute(query).mappings()]


def get(connection: Connection, principal: Principal, member_id: str) -> StoredMember:
    """Return a member of the principal's project; `NotFound` also for one who was removed."""
    row = connection.execute(_query(principal).where(member.c.id == member_id)).mappings().one_or_none()
    if row is None:
        raise NotFound(f"There is no member {member_id}.")
    return StoredMember(**row)


def set_role(connection: Connection, principal: Principal, member_id: str, role: str) -> StoredMember:
    """Give a member another role and return what they were; `Conflict` for the last admin.

    The invitations of who is admin no more end with it.
    """
    found = get(connection, principal, member_id)
    with rights.acting_as(connection, "saddle_registrar"):
        if role != "admin":
            _keep_an_admin(connection, principal, member_id)
            _revoke_invitations(connection, principal, found)
        connection.execute(update(member).where(member.c.id == member_id).values(role=role))
    return found


def remove(connection: Connection, principal: Principal, member_id: str) -> StoredMember:
    """Remove a member and end their keys, sessions and invitations here; what they made keeps their name."""
    found = get(connection, principal, member_id)
    now = func.clock_timestamp()
    with rights.acting_as(connection, "saddle_registrar"):
        _keep_an_admin(connection, principal, member_id)
        _revoke_invitations(connection, principal, found)
        connection.execute(update(member).where(member.c.id == member_id).values(removed_at=now))
    with rights.acting_as(connection, "saddle_keymaker"):
        keys = (api_key.c.member_id == member_id) & api_key.c.revoked_at.is_(None)
        connection.execute(update(api_key).where(keys).values(revoked_at=now))
    with rights.acting_as(connection, "saddle_doorkeeper"):
        sessions = (session.c.member_id == member_id) & session.c.ended_at.is_(None)
        connection.execute(update(session).where(sessions).values(ended_at=now))
    return found


def _revoke_invitations(connection: Connection, principal: Principal, maker: StoredMember) -> None:
    """End the open links that a member made: with one kept back they would come in again."""
    theirs = (invitation.c.project_id == principal.project_id) & (invitation.c.made_by == maker.name)
    still = invitation.c.used_at.is_(None) & invitation.c.revoked_at.is_(None)
    connection.execute(update(invitation).where(theirs & still).values(revoked_at=func.clock_timestamp()))


def _keep_an_admin(connection: Connection, principal: Principal, member_id: str) -> None:
    """Raise `Conflict` unless a person besides this member is admin; others who ask at once wait for the answer."""
    people = select(account.c.id).where(account.c.kind == "person", account.c.disabled_at.is_(None))
    admins = select(member.c.id).where(
        member.c.project_id == principal.project_id,
        member.c.role == "admin",
        member.c.removed_at.is_(None),
        member.c.account_id.in_(people),
    )
    found = set(connection.execute(admins.order_by(member.c.id).with_for_update()).scalars())
    if found == {member_id}:
        raise Conflict("They are the project's last admin: make somebody else admin first.")
