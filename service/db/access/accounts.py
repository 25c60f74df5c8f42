"""Accounts: found for signing in, made, changed. What a password's hash is made of is not known here."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, func, or_, select, text, update
from sqlalchemy.dialects.postgresql import insert

from service.db import rights
from service.db.access.principal import Principal
from service.db.access.projects import is_named
from service.db.tables import account, identity, session
from service.errors import Invalid, Problem
from service.ids import new_id

PRINCIPAL = text(
    """
    SELECT coalesce(m.id, '') AS member_id, coalesce(m.name, a.name) AS member, coalesce(p.id, '') AS project_id,
        coalesce(p.name, '') AS project, coalesce(m.role, 'viewer') AS role, a.admin AS server_admin
    FROM account a LEFT JOIN member m ON m.account_id = a.id AND m.removed_at IS NULL
        AND (cast(:project AS text) IS NULL OR m.project_id = :project)
    LEFT JOIN project p ON p.id = m.project_id
    WHERE a.id = :id
    ORDER BY (SELECT max(s.seen_at) FROM session s WHERE s.account_id = a.id AND s.member_id = m.id) DESC NULLS LAST,
        m.created_at
    LIMIT 1
    """
)


@dataclass(frozen=True)
class StoredAccount:
    """An account, without how it signs in."""

    id: str
    name: str
    kind: str
    email: str | None
    admin: bool
    created_at: datetime
    disabled_at: datetime | None


@dataclass(frozen=True)
class Account(StoredAccount):
    """An account with the hash of its password."""

    password_hash: str | None


def _found(row: Row[Any] | None) -> Account | None:
    return None if row is None else Account(**{name: getattr(row, name) for name in Account.__dataclass_fields__})


def find(connection: Connection, name: str) -> Account | None:
    """Return the account of this name or e-mail address, in capitals or not; a name comes first."""
    chosen = or_(is_named(name), func.lower(account.c.email) == name.lower())
    query = select(account).where(chosen).order_by(~is_named(name)).limit(1)
    return _found(connection.execute(query).one_or_none())


def get(connection: Connection, account_id: str) -> Account:
    """Return an account that exists."""
    found = look(connection, account_id)
    assert found is not None
    return found


def look(connection: Connection, account_id: str) -> Account | None:
    """Return an account, or None."""
    return _found(connection.execute(select(account).where(account.c.id == account_id)).one_or_none())


def page(connection: Connection, limit: int, before: str | None) -> Sequence[StoredAccount]:
    """The newest `limit` accounts of the server whose id sorts before `before`."""
    columns = [account.c[name] for name in StoredAccount.__dataclass_fields__]
    query = select(*columns).order_by(account.c.id.desc()).limit(limit)
    if before is not None:
        query = query.where(account.c.id < before)
    return [StoredAccount(**row) for row in connection.execute(query).mappings()]


def principal_of(connection: Connection, account_id: str, project_id: str | None = None) -> Principal:
    """Return an account as it acts without a key: in this project, or in the one it was last seen in, or in none."""
    row = connection.execute(PRINCIPAL, {"id": account_id, "project": project_id}).mappings().one()
    return Principal(key_id="", account_id=account_id, **row)


def create(
    connection: Connection, name: str, email: str | None, password_hash: str | None, kind: str = "person"
) -> str:
    """Return the id of a new account; `Invalid` for a name or an address that somebody has."""
    row = {"id": new_id("acc"), "name": name, "kind": kind, "email": email, "password_hash": password_hash}
    with rights.acting_as(connection, "saddle_registrar"):
        new = insert(account).values(**row).on_conflict_do_nothing().returning(account.c.id)
        made = connection.execute(new).scalar_one_or_none()
    if made is None:
        taken = connection.execute(select(account.c.id).where(is_named(name))).first() is not None
        raise _taken("name" if taken else "email")
    return str(made)


def _taken(field: str) -> Invalid:
    return Invalid.of([Problem(f"/{field}", "taken", "somebody on this server has it: choose another.")])


def set_password(connection: Connection, account_id: str, password_hash: str) -> None:
    """Store another password's hash."""
    with rights.acting_as(connection, "saddle_registrar"):
        connection.execute(update(account).where(account.c.id == account_id).values(password_hash=password_hash))


def set_email(connection: Connection, account_id: str, email: str | None) -> None:
    """Store another address; `Invalid` for one that somebody has."""
    others = (func.lower(account.c.email) == (email or "").lower()) & (account.c.id != account_id)
    if email and connection.execute(select(account.c.id).where(others)).first():
        raise _taken("email")
    with rights.acting_as(connection, "saddle_registrar"):
        connection.execute(update(account).where(account.c.id == account_id).values(email=email))


def disable(connection: Connection, account_id: str) -> bool:
    """Stop an account at once and end its sessions; its keys open nothing until it is enabled.

    Its address is free for whoever it belongs to. False where it is disabled already.
    """
    now = func.clock_timestamp()
    chosen = (account.c.id == account_id) & account.c.disabled_at.is_(None)
    with rights.acting_as(connection, "saddle_registrar"):
        if connection.execute(update(account).where(chosen).values(disabled_at=now, email=None)).rowcount == 0:
            return False
    with rights.acting_as(connection, "saddle_doorkeeper"):
        sessions = (session.c.account_id == account_id) & session.c.ended_at.is_(None)
        connection.execute(update(session).where(sessions).values(ended_at=now))
    return True


def enable(connection: Connection, account_id: str) -> bool:
    """Let an account in again, by its password, provider and keys; False where it is not disabled."""
    chosen = (account.c.id == account_id) & account.c.disabled_at.is_not(None)
    with rights.acting_as(connection, "saddle_registrar"):
        return connection.execute(update(account).where(chosen).values(disabled_at=None)).rowcount == 1


def of_identity(connection: Connection, issuer: str, subject: str) -> Account | None:
    """Return the account of somebody whom a provider knows by this subject."""
    query = select(account).join(identity, identity.c.account_id == account.c.id)
    chosen = (identity.c.issuer == issuer) & (identity.c.subject == subject)
    return _found(connection.execute(query.where(chosen)).one_or_none())


def add_identity(connection: Connection, account_id: str, issuer: str, subject: str) -> bool:
    """Let an account sign in through a provider; False where the identity belongs to one already."""
    row = {"issuer": issuer, "subject": subject, "account_id": account_id}
    with rights.acting_as(connection, "saddle_registrar"):
        new = insert(identity).values(**row).on_conflict_do_nothing().returning(identity.c.account_id)
        return connection.execute(new).first() is not None


def identities(connection: Connection, account_id: str) -> list[str]:
    """Return the issuers through which an account signs in."""
    return list(connection.execute(select(identity.c.issuer).where(identity.c.account_id == account_id)).scalars())
