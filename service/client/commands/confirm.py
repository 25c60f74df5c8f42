"""`saddle confirm`: train a comparison's contestants from fresh seeds, and hear what these alone say."""

import argparse
import time

from service.client import naming
from service.client.commands import answers
from service.client.commands.context import Commands, Context, command
from service.client.errors import Unusable

LOOK_S = 1.0  # between two looks whether the runs have ended


def add(commands: Commands) -> None:
    """Declare it."""
    summary = "train a comparison's contestants from seeds that nobody used, and judge by these alone"
    parser = command(commands, "confirm", do, summary, "saddle confirm cmp_... --seeds 8 --watch")
    parser.add_argument("comparison", help="its id: saddle compare prints it")
    parser.add_argument(
        "--seeds", type=int, help="fresh ones for each contestant (default: as the comparison suggests)"
    )
    parser.add_argument("--group", action="append", help="only the contestants of these groups; give it twice or more")
    parser.add_argument("--watch", action="store_true", help="wait for the verdict")


def do(asked: argparse.Namespace, context: Context) -> int:
    """Status 1 where a watched winner is not confirmed."""
    if not naming.is_id(asked.comparison, "cmp"):
        raise Unusable(f"{asked.comparison!r} is no comparison's id, which begins with cmp_: saddle compare prints it")
    found = context.client.confirm(asked.comparison, asked.seeds, asked.group)
    while asked.watch and found.confirmation and found.confirmation["state"] != "done":
        time.sleep(LOOK_S)
        found = context.client.comparison(found.id)
    context.emit(found.raw) if context.json else answers.confirmation(context, found)
    return int(asked.watch and not (found.confirmation or {}).get("confirmed"))
