"""Invitations: links that work once, into a project or to a new password. Only the secret's SHA-256 is stored."""

import hmac
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, RowMapping, Select, func, select, update
from sqlalchemy.dialects.postgresql import insert

from service.db import rights
from service.db.access.principal import Principal
from service.db.access.projects import digest
from service.db.tables import account, invitation, project
from service.errors import NotFound
from service.ids import new_id

GONE = "This link does not work: it was used, revoked, has expired, or is not whole. Ask for another."


@dataclass(frozen=True)
class Invitation:
    """A link without its secret."""

    id: str
    project_id: str | None
    project: str | None
    role: str | None
    account_id: str | None
    account: str | None  # whose password it sets
    email: str | None
    made_by: str
    created_at: datetime
    expires_at: datetime


def _open() -> ColumnElement[bool]:
    unused = invitation.c.used_at.is_(None) & invitation.c.revoked_at.is_(None)
    return unused & (invitation.c.expires_at > func.clock_timestamp())


def _query() -> Select[Any]:
    shown = [each for each in invitation.c if each.name in Invitation.__dataclass_fields__]
    names = (project.c.name.label("project"), account.c.name.label("account"), invitation.c.secret_sha256)
    joined = invitation.outerjoin(project, project.c.id == invitation.c.project_id)
    joined = joined.outerjoin(account, account.c.id == invitation.c.account_id)
    return select(*shown, *names).select_from(joined).where(_open())


def _stored(row: RowMapping) -> Invitation:
    return Invitation(**{name: row[name] for name in Invitation.__dataclass_fields__})


def create(connection: Connection, made_by: str, lifetime_s: float, **purpose: str | None) -> str:
    """Return the token of a new link, `id.secret`.

    `project_id` and `role`: into a project, perhaps with a note for which `email`; `account_id`: to a new password.
    """
    with rights.acting_as(connection, "saddle_registrar"):
        return issue(connection, made_by, lifetime_s, **purpose)


def issue(connection: Connection, made_by: str, lifetime_s: float, **purpose: str | None) -> str:
    """Do the same with the rights at hand: the operator's."""
    invitation_id, secret = new_id("inv"), secrets.token_urlsafe(32)
    row = {"id": invitation_id, "secret_sha256": digest(secret), "made_by": made_by, **purpose}
    expires_at = func.clock_timestamp() + timedelta(seconds=lifetime_s)
    connection.execute(insert(invitation).values(**row, expires_at=expires_at))
    return f"{invitation_id}.{secret}"


def look(connection: Connection, token: str) -> Invitation:
    """Return what a link leads to; `NotFound`, with the same words, for any that does not work."""
    invitation_id, _, secret = token.partition(".")
    row = connection.execute(_query().where(invitation.c.id == invitation_id)).mappings().one_or_none()
    if not hmac.compare_digest(row["secret_sha256"] if row else bytes(32), digest(secret)) or row is None:
        raise NotFound(GONE)
    return _stored(row)


def use(connection: Connection, found: Invitation, account_id: str) -> None:
    """Note that an account used a link; `NotFound` where another was faster."""
    values = {"used_at": func.clock_timestamp(), "used_by": account_id}
    chosen = (invitation.c.id == found.id) & _open()
    with rights.acting_as(connection, "saddle_registrar"):
        if connection.execute(update(invitation).where(chosen).values(**values)).rowcount == 0:
            raise NotFound(GONE)


def end_password_links(connection: Connection, account_id: str) -> None:
    """Revoke every open link that would set an account's password again."""
    chosen = (
        (invitation.c.account_id == account_id) & invitation.c.used_at.is_(None) & invitation.c.revoked_at.is_(None)
    )
    with rights.acting_as(connection, "saddle_registrar"):
        connection.execute(update(invitation).where(chosen).values(revoked_at=func.clock_timestamp()))


def page(connection: Connection, principal: Principal, limit: int, before: str | None) -> Sequence[Invitation]:
    """The newest `limit` open invitations into the project whose id sorts before `before`."""
    query = _query().where(invitation.c.project_id == principal.project_id)
    if before is not None:
        query = query.where(invitation.c.id < before)
    rows = connection.execute(query.order_by(invitation.c.id.desc()).limit(limit)).mappings()
    return [_stored(row) for row in rows]


def revoke(connection: Connection, principal: Principal, invitation_id: str) -> Invitation:
    """Revoke an open invitation into the project and return it, or raise `NotFound`."""
    chosen = (invitation.c.id == invitation_id) & (invitation.c.project_id == principal.project_id)
    row = connection.execute(_query().where(chosen)).mappings().one_or_none()
    if row is None:
        raise NotFound(f"There is no open invitation {invitation_id}.")
    with rights.acting_as(connection, "saddle_registrar"):
        connection.execute(update(invitation).where(chosen).values(revoked_at=func.clock_timestamp()))
    return _stored(row)
