"""`saddle members` and `saddle invite`: who is in the project, and links that let others in."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from service.client.commands.context import Commands, Context, command
from service.client.errors import Unusable
from service.client.formatting import age
from service.levels import ROLE_LEVELS
from service.spec.text import normalise

if TYPE_CHECKING:
    from service.schemas.people.accounts import MemberView


def add(commands: Commands) -> None:
    """Declare both commands."""
    summary = "who is in the project; as an admin, change a role or remove somebody"
    members = command(commands, "members", do_members, summary, "saddle members role ada viewer")
    members.add_argument("action", nargs="?", choices=["list", "role", "remove"], default="list")
    members.add_argument("name", nargs="?", help="role, remove: whose")
    members.add_argument("role", nargs="?", choices=sorted(ROLE_LEVELS), help="role: the new one")
    invite = command(
        commands,
        "invite",
        do_invite,
        "make a link that lets one person in",
        "saddle invite --role member",
    )
    invite.add_argument("--role", choices=sorted(ROLE_LEVELS), default="member")
    invite.add_argument("--email", help="whom it is for: a note, nothing is sent")
    invite.add_argument("--days", type=float, default=7.0, help="until it expires (default: %(default)g, at most 90)")


def do_members(arguments: argparse.Namespace, context: Context) -> None:
    """List the members, or change one."""
    client = context.client
    if arguments.action == "list":
        found = list(client.members())
        rows = [[each.name, each.role, each.kind, age(each.created_at)] for each in found]
        return context.show(found, ["member", "role", "kind", "for"], rows)
    member = _named(list(client.members()), arguments.name)
    if arguments.action == "role":
        if arguments.role is None:
            raise Unusable("say the new role: saddle members role ada viewer")
        changed = client.set_role(member.id, arguments.role)
        return context.emit(changed) if context.json else context.say(f"{changed.name} is {changed.role}")
    client.remove_member(member.id)
    return context.emit(member) if context.json else context.say(f"removed {member.name}")


def do_invite(arguments: argparse.Namespace, context: Context) -> None:
    """Print the link alone, so that it can be pasted."""
    made = context.client.invite(arguments.role, arguments.email, arguments.days * 86400)
    link = f"{context.client.http.address.url.rstrip('/')}/#/invitation/{made.token}"
    context.emit(made) if context.json else context.say(link)
    context.warn(f"it lets one person in, until {made.expires_at:%Y-%m-%d}")


def _named(members: list[MemberView], name: str | None) -> MemberView:
    if name is None:
        raise Unusable("say whom: `saddle members` lists them")
    for each in members:
        if each.name == normalise(name):
            return each
    raise Unusable(f"no member is called {name!r}; `saddle members` lists them")
