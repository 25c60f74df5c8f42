"""Sessions of browsers: begun, found, listed, ended. A cookie is `id.secret`; only the secret's SHA-256 is stored.

A session ends 12 h after it was last seen, 30 days after it began, when it is ended, when its member is removed, and
when the key that it was begun with is revoked or expires.
"""

import hmac
import secrets
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, func, text, update
from sqlalchemy.dialects.postgresql import insert

from service.db import rights
from service.db.access.principal import Access, Principal
from service.db.access.projects import digest
from service.db.session import fetch_binary
from service.db.tables import session
from service.ids import new_id

IDLE, ABSOLUTE, TOUCH = "12 hours", "30 days", "1 minute"
MAX_DEVICE = 300  # characters of a User-Agent
OPEN = f"""
    s.ended_at IS NULL AND s.seen_at > clock_timestamp() - interval '{IDLE}'
    AND s.created_at > clock_timestamp() - interval '{ABSOLUTE}'
"""
KEY_OPEN = "k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > clock_timestamp())"  # or there is none
WHOSE = f"""
    SELECT s.secret_sha256, s.seen_at < clock_timestamp() - interval '{TOUCH}', coalesce(s.key_id, ''),
        coalesce(m.id, ''), coalesce(m.name, a.name), coalesce(p.id, ''), coalesce(p.name, ''),
        coalesce(m.role, 'viewer'), a.id, coalesce(k.scope, 'admin'), a.admin, k.expires_at
    FROM session s JOIN account a ON a.id = s.account_id LEFT JOIN member m ON m.id = s.member_id
        LEFT JOIN project p ON p.id = m.project_id LEFT JOIN api_key k ON k.id = s.key_id
    WHERE s.id = %(id)s AND {OPEN} AND a.disabled_at IS NULL AND m.removed_at IS NULL AND {KEY_OPEN}
"""  # noqa: S608  pieces of SQL
STILL_OPEN = text(
    f"""
    SELECT u.credential, u.member_id
    FROM unnest(cast(:credentials AS text[]), cast(:members AS text[])) AS u(credential, member_id)
    JOIN member m ON m.id = u.member_id JOIN account a ON a.id = m.account_id
    LEFT JOIN session s ON s.id = u.credential LEFT JOIN api_key k ON k.id = coalesce(s.key_id, u.credential)
    WHERE m.removed_at IS NULL AND a.disabled_at IS NULL AND {KEY_OPEN}
        AND (s.id IS NULL AND k.id IS NOT NULL OR s.id IS NOT NULL AND {OPEN})
    """  # noqa: S608  pieces of SQL
)

PAGE = text(
    f"""
    SELECT s.id, s.device, s.address, s.key_id, s.created_at, s.seen_at
    FROM session s LEFT JOIN api_key k ON k.id = s.key_id
    WHERE s.account_id = :account AND (:key = '' OR s.key_id = :key) AND {OPEN} AND {KEY_OPEN} AND s.id < :before
    ORDER BY s.id DESC LIMIT :limit
    """  # noqa: S608  pieces of SQL
)


@dataclass(frozen=True)
class StoredSession:
    """Where somebody is signed in."""

    id: str
    device: str
    address: str | None
    key_id: str | None
    created_at: datetime
    seen_at: datetime


def start(connection: Connection, principal: Principal, device: str) -> str:
    """Begin a session of this account, in this project, with the key that was shown; return its cookie."""
    session_id, secret = new_id("ses"), secrets.token_urlsafe(32)
    row = {
        "id": session_id,
        "secret_sha256": digest(secret),
        "account_id": principal.account_id,
        "member_id": principal.member_id or None,
        "key_id": principal.key_id or None,
        "device": device[:MAX_DEVICE],
        "address": principal.address,
    }
    with rights.acting_as(connection, "saddle_doorkeeper"):
        connection.execute(insert(session).values(**row))
    return f"{session_id}.{secret}"


def find_principal(connection: Connection, cookie: str) -> tuple[Principal, bool] | None:
    """Return whose session this is and whether it is time to `touch` it, or None; takes the same work for any id."""
    session_id, _, secret = cookie.partition(".")
    found = fetch_binary(connection, WHOSE, {"id": session_id})
    stored, due, *whose = found[0] if found else (bytes(32), False)
    if not hmac.compare_digest(stored, digest(secret)) or not found:
        return None
    return replace(Principal(*whose), session_id=session_id), due


def touch(connection: Connection, principal: Principal) -> None:
    """Note that a session was seen, and from where."""
    values = {"seen_at": func.clock_timestamp(), "address": principal.address}
    with rights.acting_as(connection, "saddle_doorkeeper"):
        connection.execute(update(session).where(session.c.id == principal.session_id).values(**values))


def _visible(principal: Principal) -> ColumnElement[bool]:
    """Sessions of the account, or with a key those that were begun with it."""
    mine = session.c.account_id == principal.account_id
    return mine & (session.c.key_id == principal.key_id) if principal.key_id else mine


def page(connection: Connection, principal: Principal, limit: int, before: str | None) -> Sequence[StoredSession]:
    """The newest `limit` open sessions whose id sorts before `before`."""
    values = {"account": principal.account_id, "key": principal.key_id, "limit": limit, "before": before or "t"}
    return [StoredSession(**row) for row in connection.execute(PAGE, values).mappings()]


def end(connection: Connection, principal: Principal, session_id: str) -> bool:
    """End one session; False for another account's, and for one that has ended."""
    return _end(connection, (session.c.id == session_id) & _visible(principal) & session.c.ended_at.is_(None)) == 1


def end_others(connection: Connection, principal: Principal) -> int:
    """End all sessions but the one that asks; return how many."""
    return _end(connection, _visible(principal) & session.c.ended_at.is_(None) & (session.c.id != principal.session_id))


def _end(connection: Connection, chosen: ColumnElement[bool]) -> int:
    with rights.acting_as(connection, "saddle_doorkeeper"):
        ended = connection.execute(update(session).where(chosen).values(ended_at=func.clock_timestamp()))
    return ended.rowcount


def still_open(connection: Connection, shown: Collection[Access]) -> set[Access]:
    """Return those pairs of a key or session and a member that are neither ended nor removed."""
    values = {"credentials": [each[0] for each in shown], "members": [each[1] for each in shown]}
    return {(row.credential, row.member_id) for row in connection.execute(STILL_OPEN, values)}
