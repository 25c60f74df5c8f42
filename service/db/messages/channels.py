"""Channels: made, listed, changed, removed. A member sees their own, an admin the project's as well."""

import base64
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, RowMapping, func, insert, select, text, update

from service.db.access import audit
from service.db.access.principal import Principal
from service.db.messages import outbox
from service.db.tables import account, channel, member
from service.errors import Conflict, NotFound
from service.ids import new_id
from service.levels import Level

MAX_CHANNELS = 20  # of a member, and shared ones of a project
OLD_SECRET_VALID = timedelta(hours=24)  # after a rotation


@dataclass(frozen=True)
class StoredChannel:
    """A row of a channel."""

    id: str
    project_id: str
    member_id: str
    member: str
    shared: bool
    kind: str
    name: str
    address: str
    own_only: bool
    events: Sequence[str]
    bundle_s: int
    failures: int
    failing_since: datetime | None
    disabled_at: datetime | None
    disabled_why: str | None
    created_at: datetime


COLUMNS = [channel.c[name] for name in StoredChannel.__dataclass_fields__ if name != "member"]


def _stored(row: RowMapping) -> StoredChannel:
    return StoredChannel(**row)


def _visible(principal: Principal) -> ColumnElement[bool]:
    mine = channel.c.member_id == principal.member_id
    seen = mine & ~channel.c.shared if principal.level < Level.ADMIN else mine | channel.c.shared
    return (channel.c.project_id == principal.project_id) & channel.c.removed_at.is_(None) & seen


def list_all(connection: Connection, principal: Principal) -> list[StoredChannel]:
    """Return the channels that the principal may see, newest first."""
    query = select(*COLUMNS, member.c.name.label("member")).join(member, member.c.id == channel.c.member_id)
    rows = connection.execute(query.where(_visible(principal)).order_by(channel.c.id.desc())).mappings()
    return [_stored(row) for row in rows]


def get(connection: Connection, principal: Principal, channel_id: str) -> StoredChannel:
    """Return one channel; `NotFound` for one that the principal may not see."""
    query = select(*COLUMNS, member.c.name.label("member")).join(member, member.c.id == channel.c.member_id)
    row = connection.execute(query.where(_visible(principal), channel.c.id == channel_id)).mappings().one_or_none()
    if row is None:
        raise NotFound(f"There is no channel {channel_id}.")
    return _stored(row)


def email_of(connection: Connection, principal: Principal) -> str | None:
    """Return the e-mail address of the principal's account."""
    return connection.execute(select(account.c.email).where(account.c.id == principal.account_id)).scalar_one_or_none()


START_READING = text(
    """
    INSERT INTO event_reader (project_id, xid)
    VALUES (:project_id, (pg_snapshot_xmin(pg_current_snapshot())::text)::bigint) ON CONFLICT DO NOTHING
    """
)


def add(connection: Connection, principal: Principal, values: Mapping[str, Any]) -> tuple[str, str | None]:
    """Store a channel; return its id, and the secret that signs its messages if it is a webhook."""
    of = channel.c.shared if values["shared"] else (channel.c.member_id == principal.member_id) & ~channel.c.shared
    there = select(func.count()).where(channel.c.project_id == principal.project_id, channel.c.removed_at.is_(None), of)
    if connection.execute(there).scalar_one() >= MAX_CHANNELS:
        whose = f"The project {principal.project} has" if values["shared"] else "You have"
        raise Conflict(f"{whose} {MAX_CHANNELS} channels, which is the most: delete one that nobody needs first.")
    secret = new_secret() if values["kind"] == "webhook" else None
    row = {"id": new_id("chn"), "project_id": principal.project_id, "member_id": principal.member_id, "secret": secret}
    connection.execute(insert(channel).values(**row, **values))
    connection.execute(START_READING, {"project_id": principal.project_id})
    told = {key: values[key] for key in ("kind", "name", "shared")}
    audit.record(connection, principal, "channel.create", row["id"], **told)
    return str(row["id"]), secret


def new_secret() -> str:
    """Return a secret as Standard Webhooks writes it: 32 random bytes."""
    return "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()


def change(connection: Connection, found: StoredChannel, principal: Principal, values: Mapping[str, Any]) -> None:
    """Store what has changed of a channel; `enabled` starts or stops it."""
    row = {key: value for key, value in values.items() if key != "enabled"}
    if values.get("enabled") is True:
        row |= {"disabled_at": None, "disabled_why": None, "failures": 0, "failing_since": None, "retry_at": None}
    elif values.get("enabled") is False:
        row |= {"disabled_at": func.clock_timestamp(), "disabled_why": f"{principal.member} stopped it"}
        outbox.drop_open(connection, found.id, "the channel was stopped")
    if row:
        connection.execute(update(channel).where(channel.c.id == found.id).values(**row))
        audit.record(connection, principal, "channel.change", found.id, fields=sorted(values))


def stop_of(connection: Connection, why: str, *, member_id: str | None = None, account_id: str | None = None) -> None:
    """Stop the channels that a member, or an account in all projects, made: they chose where those lead.

    An admin of the project may start a shared one again.
    """
    whose = member.c.id == member_id if account_id is None else member.c.account_id == account_id
    theirs = (
        channel.c.member_id.in_(select(member.c.id).where(whose))
        & channel.c.removed_at.is_(None)
        & channel.c.disabled_at.is_(None)
    )
    stopped = update(channel).where(theirs).values(disabled_at=func.clock_timestamp(), disabled_why=why)
    for channel_id in connection.execute(stopped.returning(channel.c.id)).scalars().all():
        outbox.drop_open(connection, channel_id, "the channel was stopped")


def rotate(connection: Connection, found: StoredChannel, principal: Principal) -> str:
    """Give a webhook a new secret; the old one signs too for a day. `Conflict` for a channel that signs nothing."""
    if found.kind != "webhook":
        raise Conflict("Only messages to a webhook are signed: this channel has no secret.")
    secret, until = new_secret(), func.clock_timestamp() + OLD_SECRET_VALID
    row = {"secret": secret, "old_secret": channel.c.secret, "old_secret_until": until}
    connection.execute(update(channel).where(channel.c.id == found.id).values(**row))
    audit.record(connection, principal, "channel.rotate", found.id)
    return secret


def remove(connection: Connection, found: StoredChannel, principal: Principal) -> None:
    """Remove a channel, with its address and secrets; what it sent is kept for a while."""
    empty = {"address": "", "secret": None, "old_secret": None, "removed_at": func.clock_timestamp()}
    connection.execute(update(channel).where(channel.c.id == found.id).values(**empty))
    outbox.drop_open(connection, found.id, "the channel was deleted")
    audit.record(connection, principal, "channel.delete", found.id, name=found.name)
