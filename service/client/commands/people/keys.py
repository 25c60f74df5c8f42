"""`saddle keys list | create | rotate | revoke`: your API keys, or as an admin those of the project."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from service.client import lookup
from service.client.client import Client
from service.client.commands.context import Commands, Context, command
from service.client.errors import Unusable
from service.client.formatting import age
from service.levels import SCOPE_LEVELS
from service.spec.text import normalise

if TYPE_CHECKING:
    from service.schemas.people.keys import MadeKey


def add(commands: Commands) -> None:
    """Declare the command."""
    summary = "your API keys, an admin's project's: list them, create, rotate or revoke some"
    parser = command(commands, "keys", do, summary, "saddle keys create laptop --days 30")
    parser.add_argument("action", nargs="?", choices=sorted(ACTIONS), default="list")
    parser.add_argument("key", nargs="*", help="create: what it is called; else names, ids, or ends of ids")
    parser.add_argument("--days", type=float, help="create: until it expires (default: what the server sets, 90)")
    parser.add_argument("--never", action="store_true", help="create: it never expires")
    parser.add_argument("--scope", choices=sorted(SCOPE_LEVELS), default="admin", help="create: what it may do at most")
    parser.add_argument("--member", help="create: the service account it is for; by admins")
    parser.add_argument(
        "--runs-per-day", type=int, metavar="N", help="create: runs that it may queue in a day (UTC); default: no limit"
    )
    parser.add_argument(
        "--seconds-per-day",
        type=float,
        metavar="S",
        help="create: seconds of a device that its runs may train in a day (UTC); default: no limit",
    )
    parser.add_argument("--overlap", type=float, default=1.0, help="rotate: days the old one still opens (default: 1)")
    parser.add_argument("--all", action="store_true", help="list: revoked and expired ones too")


def do(arguments: argparse.Namespace, context: Context) -> None:
    """List, create, rotate or revoke."""
    ACTIONS[arguments.action](arguments, context)


def do_list(arguments: argparse.Namespace, context: Context) -> None:
    """List keys, newest first."""
    if arguments.key:
        raise Unusable(f"`saddle keys list` takes no name ({arguments.key[0]!r}): it lists every key")
    found = list(context.client.api_keys(closed=arguments.all))
    rows = [
        [each.id, each.name or "-", each.member, each.scope, age(each.created_at), _used(each), _state(each)]
        for each in found
    ]
    context.show(found, ["key", "name", "member", "scope", "age", "used", ""], rows, whole=[""])


def _used(key: MadeKey) -> str:
    return f"{age(key.last_used_at)} ago" if key.last_used_at else "-"


def _state(key: MadeKey) -> str:
    if key.revoked_at:
        return "revoked"
    if not key.open:
        return "expired"
    expires = [f"expires {key.expires_at:%Y-%m-%d}"] if key.expires_at else []
    limits = [f"{key.runs_per_day:,} runs a day"] if key.runs_per_day is not None else []
    limits += [f"{key.device_s_per_day:,g} s a day"] if key.device_s_per_day is not None else []
    return ", ".join([*expires, *limits, *["this one"] * key.current])


def do_create(arguments: argparse.Namespace, context: Context) -> None:
    """Create a key and print it alone, so that it can go to a file."""
    if len(arguments.key) != 1:
        raise Unusable("a new key needs a name, for example where it is used: saddle keys create laptop")
    if arguments.never and arguments.days is not None:
        raise Unusable("--never and --days contradict each other: keep one")
    made = context.client.create_key(
        arguments.key[0],
        None if arguments.days is None else arguments.days * 86400,
        never_expires=arguments.never,
        scope=arguments.scope,
        member=arguments.member,
        runs_per_day=arguments.runs_per_day,
        device_s_per_day=arguments.seconds_per_day,
    )
    context.emit(made) if context.json else context.say(made.key or "")


def do_rotate(arguments: argparse.Namespace, context: Context) -> None:
    """Replace a key, by default the one in use, and print the new one alone."""
    if len(arguments.key) > 1:
        raise Unusable("one key is rotated at a time, because each new one is shown only once")
    old = _resolve(context.client, arguments.key[0]) if arguments.key else _current(context.client)
    made = context.client.rotate_key(old, arguments.overlap * 86400)
    context.emit(made) if context.json else context.say(made.key or "")
    context.warn(f"{old} ends {f'in {arguments.overlap:g} days' if arguments.overlap else 'now'}: store the new key")


def do_revoke(arguments: argparse.Namespace, context: Context) -> None:
    """Revoke each key, once all are found."""
    if not arguments.key:
        raise Unusable("name the keys to revoke, by name, id or end of an id; `saddle keys` lists them")
    revoked = [context.client.revoke_key(each) for each in [_resolve(context.client, text) for text in arguments.key]]
    if context.json:
        context.emit(revoked)
    else:
        for each in revoked:
            context.say(f"revoked {each.id}  {each.name or '-'}, of {each.member}")


def _resolve(client: Client, text: str) -> str:
    """Return the id of the one open key that is meant."""
    whole = text.strip().partition(".")[0]
    if lookup.is_id(whole, "key"):
        return whole
    there = list(client.api_keys())
    found = [key for key in there if key.name == normalise(text)] or [key for key in there if _ends(key.id, text)]
    if len(found) == 1:
        return found[0].id
    if not found:
        raise Unusable(f"no key is called {text!r}; `saddle keys` shows those there are")
    listed = [f"  {key.id}  {key.name}, of {key.member}, {age(key.created_at)} ago" for key in found]
    raise Unusable("\n".join([f"{len(found)} keys are called {text!r}, so nothing was done: give an id", *listed]))


def _ends(key_id: str, text: str) -> bool:
    return lookup.ENDING.fullmatch(text) is not None and key_id.endswith(text)


def _current(client: Client) -> str:
    """Return the id of the key in use."""
    return next(key.id for key in client.api_keys() if key.current)


def expiry_notice(expires: str) -> str:
    """Return a sentence about a key whose end (RFC 3339) is near."""
    return f"your key ends on {expires[:10]}: `saddle keys rotate` makes another one like it"


ACTIONS = {"list": do_list, "create": do_create, "rotate": do_rotate, "revoke": do_revoke}
