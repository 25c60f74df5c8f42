"""The outbox: messages wait here from the transaction of what they tell until a receiver has taken them.

A message is claimed by moving `due_at` past the longest attempt, so an attempt that its process does not survive is
repeated: at least once. Its id stays, so a receiver can drop what it has.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, delete, func, select, text

from service.db.access.principal import Principal
from service.db.messages.notices import Notice, Subscription, wants
from service.db.tables import alarm, delivery
from service.ids import new_id
from service.nonfinite import dumps

GATHER_S = 5.0  # a message waits at least so long for more events of its experiment
LEASE_S = 60.0  # more than an attempt takes
FIRST_RETRY_S, MAX_RETRY_S = 10.0, 3600.0
GIVE_UP_S = 3 * 86400.0  # a message is given up, and a channel that took nothing for so long is disabled
KEPT_DAYS = 30  # messages that are done with

SUBSCRIPTIONS = text(
    """
    SELECT c.id, c.project_id, c.member_id, c.shared, c.own_only, c.events, c.bundle_s, c.created_at
    FROM channel c JOIN member m ON m.id = c.member_id JOIN account a ON a.id = m.account_id
    WHERE c.project_id = ANY(:project_ids) AND c.removed_at IS NULL AND c.disabled_at IS NULL
        AND (c.shared OR (m.removed_at IS NULL AND a.disabled_at IS NULL))
    """
)
ADD = text(
    """
    INSERT INTO delivery (id, channel_id, bundle, events, due_at)
    VALUES (:id, :channel_id, :bundle, cast(:events AS jsonb), greatest(
        clock_timestamp() + make_interval(secs => least(:gather_s, :bundle_s)),
        (SELECT max(ended_at) FROM delivery WHERE channel_id = :channel_id AND bundle = :bundle AND state = 'sent')
            + make_interval(secs => :bundle_s)))
    ON CONFLICT (channel_id, bundle) WHERE state = 'open' AND attempts = 0
        DO UPDATE SET events = delivery.events || excluded.events
    """
)


def subscriptions(connection: Connection, project_ids: Sequence[str]) -> list[Subscription]:
    """Return what each channel of these projects wants; nothing of people who have left."""
    return [Subscription(**row) for row in connection.execute(SUBSCRIPTIONS, {"project_ids": project_ids}).mappings()]


def add(connection: Connection, notices: Sequence[Notice], known: Sequence[Subscription] | None = None) -> int:
    """Put messages into the outbox for every channel that wants these; return for how many channels."""
    if not notices:
        return 0
    if known is None:
        known = subscriptions(connection, sorted({notice.project_id for notice in notices}))
    rows = [row for each in known for row in _rows(each, [notice for notice in notices if wants(each, notice)])]
    if rows:
        connection.execute(ADD, rows)
    return len({row["channel_id"] for row in rows})


def _rows(to: Subscription, notices: Sequence[Notice]) -> list[dict[str, Any]]:
    """Return a row for each bundle, in the order of their first events."""
    bundles: dict[str, list[dict[str, Any]]] = {}
    for notice in notices:
        bundle = notice.subject if to.bundle_s else new_id("one")
        bundles.setdefault(bundle, []).append(notice.document())
    shared = {"channel_id": to.id, "gather_s": GATHER_S, "bundle_s": float(to.bundle_s)}
    return [
        {"id": new_id("msg"), "bundle": bundle, "events": dumps(events), **shared} for bundle, events in bundles.items()
    ]


@dataclass(frozen=True)
class Outgoing:
    """A message with what it takes to send it."""

    id: str
    channel_id: str
    kind: str
    address: str
    secrets: Sequence[str]  # each signs it
    project: str
    events: Sequence[dict[str, Any]]
    attempts: int  # this one included
    created_at: datetime


SEND = """
    d.id, d.channel_id, c.kind, c.address, p.name AS project, d.events, d.attempts, d.created_at,
    array_remove(ARRAY[c.secret, CASE WHEN c.old_secret_until > clock_timestamp() THEN c.old_secret END], NULL)
        AS secrets
"""
CLAIM = text(
    f"""
    WITH first AS (
        SELECT DISTINCT ON (d.channel_id) d.id FROM delivery d JOIN channel c ON c.id = d.channel_id
            JOIN member m ON m.id = c.member_id JOIN account a ON a.id = m.account_id
        WHERE d.state = 'open' AND d.due_at <= clock_timestamp() AND c.removed_at IS NULL AND c.disabled_at IS NULL
            AND (c.retry_at IS NULL OR c.retry_at <= clock_timestamp())
            AND (c.shared OR (m.removed_at IS NULL AND a.disabled_at IS NULL))
        ORDER BY d.channel_id, d.due_at LIMIT :most),
    claimed AS (
        SELECT id FROM delivery WHERE id IN (SELECT id FROM first) AND state = 'open' AND due_at <= clock_timestamp()
        FOR UPDATE SKIP LOCKED),
    d AS (
        UPDATE delivery SET attempts = attempts + 1, due_at = clock_timestamp() + make_interval(secs => :lease_s)
        WHERE id IN (SELECT id FROM claimed) RETURNING *)
    SELECT {SEND} FROM d JOIN channel c ON c.id = d.channel_id JOIN project p ON p.id = c.project_id
    """  # noqa: S608  pieces of this file; every value is bound
)


def claim(connection: Connection, most: int) -> list[Outgoing]:
    """Claim the message of each of `most` channels that is due first; other processes leave them alone for a while."""
    rows = connection.execute(CLAIM, {"most": most, "lease_s": LEASE_S}).mappings()
    return [Outgoing(**row) for row in rows]


MARK_SENT = text(
    """
    WITH sent AS (
        UPDATE delivery SET state = 'sent', ended_at = clock_timestamp(), status = :status, detail = :detail
        WHERE id = :id AND state = 'open' RETURNING channel_id)
    UPDATE channel SET failures = 0, failing_since = NULL, retry_at = NULL
    WHERE id = (SELECT channel_id FROM sent) AND failures > 0
    """
)
MARK_FAILED = text(
    """
    UPDATE delivery SET status = :status, detail = :detail,
        due_at = clock_timestamp() + make_interval(secs => :wait_s),
        state = CASE WHEN :refused OR created_at < clock_timestamp() - make_interval(secs => :give_up_s)
            THEN 'failed' ELSE 'open' END,
        ended_at = CASE WHEN :refused OR created_at < clock_timestamp() - make_interval(secs => :give_up_s)
            THEN clock_timestamp() END
    WHERE id = :id AND state = 'open' AND attempts = :attempts
    """
)
COUNT_FAILURE = text(
    """
    UPDATE channel SET failures = failures + 1, failing_since = coalesce(failing_since, clock_timestamp()),
        retry_at = clock_timestamp() + make_interval(secs => :wait_s),
        disabled_at = CASE WHEN :gone OR failing_since < clock_timestamp() - make_interval(secs => :give_up_s)
            THEN clock_timestamp() END,
        disabled_why = CASE WHEN :gone OR failing_since < clock_timestamp() - make_interval(secs => :give_up_s)
            THEN :why END
    WHERE id = :channel_id AND disabled_at IS NULL AND removed_at IS NULL
    RETURNING project_id, member_id, name, disabled_at, disabled_why
    """
)


def mark_sent(connection: Connection, sent: Outgoing, status: int | None, detail: str | None) -> None:
    """Note that the receiver has taken it; the channel works again."""
    connection.execute(MARK_SENT, {"id": sent.id, "status": status, "detail": detail})


def mark_failed(connection: Connection, sent: Outgoing, status: int | None, detail: str, gone: bool = False) -> None:
    """Have it tried again later, or give it up; disable a channel that is `gone`, or has failed for days, and tell."""
    wait_s = retry_wait_s(sent.attempts)
    asked = {"id": sent.id, "attempts": sent.attempts, "status": status, "detail": detail, "refused": gone}
    if connection.execute(MARK_FAILED, asked | {"wait_s": wait_s, "give_up_s": GIVE_UP_S}).rowcount == 0:
        return  # another process sends it now
    why = "the receiver says that it is gone (410)" if gone else f"nothing was taken for days; the last time: {detail}"
    asked = {"channel_id": sent.channel_id, "wait_s": wait_s, "give_up_s": GIVE_UP_S, "gone": gone, "why": why}
    row = connection.execute(COUNT_FAILURE, asked).one_or_none()
    if row is not None and row.disabled_at is not None:
        drop_open(connection, sent.channel_id, "the channel was disabled")
        told = {"channel": {"id": sent.channel_id, "name": row.name}, "why": row.disabled_why}
        notice = Notice(
            "channel_disabled", row.project_id, sent.channel_id, row.disabled_at, told, only_to=row.member_id
        )
        add(connection, [notice])


def drop_open(connection: Connection, channel_id: str, why: str) -> None:
    """Give up what a channel that ends has not sent: it would be no news when it starts again."""
    waiting = (delivery.c.channel_id == channel_id) & (delivery.c.state == "open")
    given_up = {"state": "failed", "ended_at": func.clock_timestamp(), "detail": why}
    connection.execute(delivery.update().where(waiting).values(**given_up))


def retry_wait_s(attempts: int) -> float:
    """Return the seconds until the next attempt: 10, 20, 40, ... an hour, each up to a fifth longer."""
    return min(FIRST_RETRY_S * 2.0 ** min(attempts - 1, 20), MAX_RETRY_S) * (1 + random.random() / 5)  # noqa: S311


TEST = text(
    f"""
    WITH d AS (
        INSERT INTO delivery (id, channel_id, bundle, events, attempts, state, ended_at, detail)
        VALUES (:id, :channel_id, 'test', cast(:events AS jsonb), 1, 'failed', clock_timestamp(), 'it was not sent')
        RETURNING *)
    SELECT {SEND} FROM d JOIN channel c ON c.id = d.channel_id JOIN project p ON p.id = c.project_id
    """  # noqa: S608  pieces of this file; every value is bound
)
RECENT_TESTS = text(
    """
    SELECT count(*) FROM delivery d JOIN channel c ON c.id = d.channel_id
    WHERE c.project_id = :project_id AND d.bundle = 'test' AND d.events -> 0 ->> 'by' = :by
        AND d.created_at > clock_timestamp() - interval '1 minute'
    """
)


def add_test(connection: Connection, channel_id: str, event: dict[str, Any]) -> Outgoing:
    """Store a test message that only the caller sends, once."""
    asked = {"id": new_id("msg"), "channel_id": channel_id, "events": dumps([event])}
    return Outgoing(**connection.execute(TEST, asked).mappings().one())


def recent_tests(connection: Connection, principal: Principal) -> int:
    """Return how many test messages somebody has sent within a minute."""
    asked = {"project_id": principal.project_id, "by": principal.member}
    return int(connection.execute(RECENT_TESTS, asked).scalar_one())


def end_test(connection: Connection, sent: Outgoing, delivered: bool, status: int | None, detail: str | None) -> None:
    """Note how a test ended; it changes nothing about the channel."""
    row = {"state": "sent" if delivered else "failed", "status": status, "detail": detail}
    connection.execute(delivery.update().where(delivery.c.id == sent.id).values(**row))


@dataclass(frozen=True)
class StoredDelivery:
    """A row of the outbox."""

    id: str
    events: Sequence[dict[str, Any]]
    state: str
    attempts: int
    created_at: datetime
    due_at: datetime
    ended_at: datetime | None
    status: int | None
    detail: str | None


def newest(connection: Connection, channel_id: str, most: int) -> list[StoredDelivery]:
    """Return the newest messages of a channel."""
    columns = [delivery.c[name] for name in StoredDelivery.__dataclass_fields__]
    query = select(*columns).where(delivery.c.channel_id == channel_id).order_by(delivery.c.id.desc()).limit(most)
    return [StoredDelivery(**row) for row in connection.execute(query).mappings()]


def forget_old(connection: Connection) -> None:
    """Delete messages that were done with long ago, and which faults were told."""
    old = func.clock_timestamp() - timedelta(days=KEPT_DAYS)
    connection.execute(delete(delivery).where(delivery.c.created_at < old))
    connection.execute(delete(alarm).where(alarm.c.kind == "finding_fault", alarm.c.since < old))


ABOUT = text(
    """
    DELETE FROM delivery d USING channel c WHERE c.id = d.channel_id AND c.project_id = :project_id
        AND d.events @> jsonb_build_array(jsonb_build_object('experiment', jsonb_build_object('id', cast(:id AS text))))
    """
)


def forget_experiment(connection: Connection, project_id: str, experiment_id: str) -> None:
    """Delete every message, sent or not, that tells of an experiment."""
    connection.execute(ABOUT, {"project_id": project_id, "id": experiment_id})
