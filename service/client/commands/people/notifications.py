"""`saddle notifications list | test | deliveries`: where messages go, and whether they arrive."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from service.client import lookup
from service.client.client import Client
from service.client.commands.context import Commands, Context, command
from service.client.errors import Unusable
from service.client.formatting import age

if TYPE_CHECKING:
    from service.schemas.people.channels import ChannelView

FAILED = 1  # exit status of a test that the receiver did not take


def add(commands: Commands) -> None:
    """Declare the command."""
    summary = "channels of messages: list them, send a test, see the last messages; the page makes and changes them"
    parser = command(commands, "notifications", do, summary, "saddle notifications test ops")
    parser.add_argument("action", nargs="?", choices=sorted(ACTIONS), default="list")
    parser.add_argument("channel", nargs="?", help="test, deliveries: its name, id or end of an id")


def do(arguments: argparse.Namespace, context: Context) -> int | None:
    """List, test, or show what was sent."""
    if (arguments.channel is None) != (arguments.action == "list"):
        raise Unusable("`list` takes no channel; `test` and `deliveries` take one, by name, id or end of an id")
    return ACTIONS[arguments.action](arguments, context)


def do_list(_: argparse.Namespace, context: Context) -> None:
    """List your channels, and an admin's project's."""
    found = context.client.channels()
    rows = [
        [each.id, each.name, each.kind, "project" if each.shared else "mine", ", ".join(each.events), _state(each)]
        for each in found
    ]
    context.show(found, ["channel", "name", "kind", "of", "events", ""], rows)


def _state(channel: ChannelView) -> str:
    if channel.disabled_at:
        return f"disabled {age(channel.disabled_at)} ago"
    return f"{channel.failures} failures" if channel.failures else ""


def do_test(arguments: argparse.Namespace, context: Context) -> int:
    """Send a test and say what the receiver said; 1 if it did not take it."""
    tried = context.client.test_channel(_resolve(context.client, arguments.channel))
    if context.json:
        context.emit(tried)
    else:
        word = "delivered" if tried.delivered else "not delivered"
        context.say(" ".join(str(each) for each in (f"{word}:", tried.status, tried.detail) if each is not None))
    return 0 if tried.delivered else FAILED


def do_deliveries(arguments: argparse.Namespace, context: Context) -> None:
    """List the last messages of a channel."""
    found = context.client.deliveries(_resolve(context.client, arguments.channel))
    rows = [
        [each.id, age(each.created_at), each.state, each.attempts, len(each.events), each.status or "-", each.detail]
        for each in found
    ]
    context.show(found, ["message", "age", "state", "attempts", "events", "status", "answer"], rows)


ACTIONS = {"list": do_list, "test": do_test, "deliveries": do_deliveries}


def _resolve(client: Client, text: str) -> str:
    """Return the id of the one channel that is meant."""
    if lookup.is_id(text, "chn"):
        return text
    there = client.channels()
    found = [each for each in there if each.name == text] or [
        each for each in there if lookup.ENDING.fullmatch(text) and each.id.endswith(text)
    ]
    if len(found) == 1:
        return found[0].id
    known = "; `saddle notifications` shows those there are"
    raise Unusable(f"{len(found) or 'no'} channels are called {text!r}{known}")
