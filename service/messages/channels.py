"""Channels as people make and change them: what is allowed, and a test of one."""

import time
from collections.abc import Callable
from typing import Any

from service.db.access import audit
from service.db.access.principal import Principal
from service.db.messages import channels, outbox
from service.db.messages.channels import StoredChannel
from service.db.messages.outbox import Outgoing
from service.db.session import Connection, Engine, transaction
from service.errors import Forbidden, Invalid, Problem, TooMany
from service.levels import Level
from service.messages.destinations import MAIL, Refused, check_literal, parse_url
from service.messages.send import send
from service.schemas.people.channels import ChannelChange, ChannelView, MadeChannel, NewChannel, TriedView
from service.settings import Settings

TESTS_A_MINUTE = 6  # of one member
NOT_SHARED = "a shared channel is everybody's: leave it out, or make the channel your own."


def make(connection: Connection, principal: Principal, settings: Settings, wanted: NewChannel) -> MadeChannel:
    """Store a channel; raise `Forbidden` for a shared one unless the principal is an admin of the project."""
    if wanted.shared and principal.level < Level.ADMIN:
        raise Forbidden("Channels of the project are made by its admins: leave `shared` out to make one of your own.")
    problems = [Problem("/own_only", "not_shared", NOT_SHARED)] if wanted.shared and wanted.own_only else []
    if wanted.kind == "email" and not settings.smtp_host:
        problems.append(Problem("/kind", "no_mail", "this server sends no e-mail: its operator sets SADDLE_SMTP_HOST."))
    address = _checked_address(
        connection, principal, settings, wanted.kind, wanted.shared, wanted.address, problems.append
    )
    if problems:
        raise Invalid.of(problems)
    values = wanted.model_dump() | {"address": address, "events": _events(wanted.events)}
    channel_id, secret = channels.add(connection, principal, values)
    return MadeChannel.of(view(channels.get(connection, principal, channel_id)), secret=secret)


def change(
    connection: Connection, principal: Principal, settings: Settings, channel_id: str, wanted: ChannelChange
) -> ChannelView:
    """Change what is given."""
    found = channels.get(connection, principal, channel_id)
    problems = [Problem("/own_only", "not_shared", NOT_SHARED)] if wanted.own_only and found.shared else []
    values: dict[str, Any] = wanted.model_dump(exclude_none=True)
    if wanted.address is not None:
        values["address"] = _checked_address(
            connection, principal, settings, found.kind, found.shared, wanted.address, problems.append
        )
    if problems:
        raise Invalid.of(problems)
    if wanted.events is not None:
        values["events"] = _events(wanted.events)
    channels.change(connection, found, principal, values)
    return view(channels.get(connection, principal, channel_id))


def _events(given: tuple[str, ...]) -> list[str]:
    return list(dict.fromkeys(given))


def _checked_address(
    connection: Connection,
    principal: Principal,
    settings: Settings,
    kind: str,
    shared: bool,
    given: str,
    add: Callable[[Problem], None],
) -> str:
    """Return the address in its stored form, or add what is wrong with it."""
    text = given.strip()
    if kind != "email":
        try:
            check_literal(parse_url(text), settings.webhook_networks)
        except Refused as refusal:
            add(Problem("/address", "bad_address", f"{refusal}."))
        return text
    mine = None if shared else channels.email_of(connection, principal)
    if not shared and not mine:
        detail = "your account has no e-mail address: an admin can make a shared channel, or set yours."
        add(Problem("/address", "no_address", detail))
    elif mine and text and text.lower() != mine.lower():
        detail = "your own mail goes to the address of your account: leave it out, or make a shared channel."
        add(Problem("/address", "not_yours", detail))
    elif not MAIL.fullmatch(mine or text):
        add(Problem("/address", "bad_address", "it is no e-mail address: give one like team@example.org."))
    return mine or text


def view(found: StoredChannel) -> ChannelView:
    """Return a channel as the API answers it."""
    address = found.address
    if found.kind == "slack":
        to = parse_url(found.address)
        address = f"{'https' if to.secure else 'http'}://{to.netloc}/…"
    return ChannelView.of(found, address=address, events=list(found.events))


def begin_test(connection: Connection, principal: Principal, channel_id: str) -> Outgoing:
    """Store a test message; raise `TooMany` beyond six in a minute."""
    found = channels.get(connection, principal, channel_id)
    if outbox.recent_tests(connection, principal) >= TESTS_A_MINUTE:
        raise TooMany(f"You have sent {TESTS_A_MINUTE} tests within a minute, which is the most: wait for a minute.")
    audit.record(connection, principal, "channel.test", found.id)
    event = {"kind": "test", "by": principal.member, "channel": {"id": found.id, "name": found.name}}
    return outbox.add_test(connection, found.id, event)


def finish_test(engine: Engine, settings: Settings, message: Outgoing) -> TriedView:
    """Send the test message and return what the receiver said."""
    began = time.monotonic()
    outcome = send(message, settings)
    with transaction(engine) as connection:
        outbox.end_test(connection, message, outcome.delivered, outcome.status, outcome.detail)
    seconds = round(time.monotonic() - began, 3)
    return TriedView(delivered=outcome.delivered, status=outcome.status, detail=outcome.detail, seconds=seconds)
