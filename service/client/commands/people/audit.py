"""`saddle audit`: what was done in the project, by whom and from where; for its admins."""

import argparse

from service.client.commands.context import Commands, Context, command
from service.client.formatting import age


def add(commands: Commands) -> None:
    """Declare the command."""
    summary = "what was done in the project, newest first, for its admins"
    parser = command(commands, "audit", do, summary, "saddle audit --action run.cancel --since 2026-01-01T00:00:00Z")
    parser.add_argument("--actor", help="only what this person did")
    parser.add_argument("--action", help="only this, as run.cancel; run: everything about runs")
    parser.add_argument("--target", help="only what happened to this id")
    parser.add_argument("--since", metavar="TIME", help="from this moment on, as 2026-01-31T12:00:00Z")
    parser.add_argument("--until", metavar="TIME", help="before this moment")
    parser.add_argument("--limit", type=int, default=50, help="at most so many (default: 50)")
    parser.add_argument("--server", action="store_true", help="of all projects; for server admins")


def do(arguments: argparse.Namespace, context: Context) -> None:
    """List rows."""
    chosen = {name: getattr(arguments, name) for name in ("actor", "action", "target", "since", "until")}
    found = list(context.client.audit(arguments.limit, server=arguments.server, **chosen))
    rows = [
        [age(each.at), each.actor, each.action, each.target or "-", each.address or "-", _told(each.data)]
        for each in found
    ]
    context.show(found, ["age", "who", "action", "object", "from", ""], rows)


def _told(data: dict[str, object]) -> str:
    return ", ".join(f"{name}: {value}" for name, value in data.items())
