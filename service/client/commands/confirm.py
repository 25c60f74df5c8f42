"""`saddle confirm`: train a comparison's contestants from fresh seeds, and judge by these alone."""

import argparse

from service.client import lookup
from service.client.commands import comparison_report
from service.client.commands.context import Commands, Context, command
from service.client.errors import Unusable
from service.client.following import poll


def add(commands: Commands) -> None:
    """Declare the command."""
    summary = "train a comparison's contestants from seeds that nobody used, and judge by these alone"
    parser = command(commands, "confirm", do, summary, "saddle confirm cmp_... --seeds 8 --watch")
    parser.add_argument("comparison", help="its id: saddle compare prints it")
    parser.add_argument(
        "--seeds", type=int, help="fresh ones for each contestant (default: as the comparison suggests)"
    )
    parser.add_argument("--group", action="append", help="only the contestants of these groups; give it twice or more")
    parser.add_argument("--more", type=int, metavar="N", help="extend a confirmation by so many further fresh seeds")
    parser.add_argument("--watch", action="store_true", help="wait for the verdict")


def do(arguments: argparse.Namespace, context: Context) -> int:
    """Return 1 if a watched winner is not confirmed."""
    client, comparison_id = context.client, arguments.comparison
    if not lookup.is_id(comparison_id, "cmp"):
        raise Unusable(f"{comparison_id!r} is no comparison's id, which begins with cmp_: saddle compare prints it")
    if arguments.more is not None and (arguments.seeds is not None or arguments.group):
        raise Unusable("--more extends the confirmation that there is: leave out --seeds and --group")
    if arguments.more is None:
        found = client.confirm(comparison_id, arguments.seeds, arguments.group)
    else:
        found = client.extend_confirmation(comparison_id, arguments.more)
    if arguments.watch:
        *_, found = poll(
            lambda: client.comparison(found.id),
            lambda each: each.confirmation is None or each.confirmation.state == "done",
        )
    context.emit(found) if context.json else comparison_report.show_confirmation(context, found)
    return int(arguments.watch and not (found.confirmation and found.confirmation.confirmed))
