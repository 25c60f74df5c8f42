"""`saddle delete`: experiments and uploads, gone for good."""

import argparse
import sys

from service.client import naming
from service.client.client import Client
from service.client.commands.context import Commands, Context, command
from service.client.errors import Refused
from service.client.terminal import plain


def add(commands: Commands) -> None:
    """Declare it."""
    summary = "delete experiments with their curves and checkpoints, or uploads, for good"
    parser = command(commands, "delete", do, summary, "saddle delete first-try --yes")
    parser.add_argument("what", nargs="+", help="experiments: ids or names; uploads: ids")
    parser.add_argument("--yes", action="store_true", help="do it; without it, only say what would go")


def do(asked: argparse.Namespace, context: Context) -> int:
    """Each that can go; what refuses is said, the others go. Without --yes nothing goes, and the status is 2."""
    client, refused = context.client, 0
    gone = []
    for thing in [_meant(client, what) for what in asked.what]:  # all are found before one goes
        is_upload = naming.is_id(thing, "dat")
        described = thing if is_upload else _described(client, thing)
        if not asked.yes:
            print(f"saddle: would delete {plain(described)}", file=sys.stderr)
            continue
        try:
            client.delete_dataset(thing) if is_upload else client.delete(thing)
        except Refused as refusal:
            print(f"saddle: {thing}: {plain(refusal.detail)}", file=sys.stderr)
            refused += 1
            continue
        gone.append({"id": thing})
        if not context.json:
            context.say(f"deleted {described}")
    if not asked.yes:
        print("saddle: nothing was deleted: say so with --yes", file=sys.stderr)
    elif context.json:
        context.emit(gone)
    return 2 if refused or not asked.yes else 0


def _meant(client: Client, what: str) -> str:
    """The id of the upload or experiment."""
    return what if naming.is_id(what, "dat") else naming.experiment_id(client, what, archived=True)


def _described(client: Client, experiment_id: str) -> str:
    """What goes with it."""
    found = client.experiment(experiment_id)
    return f"{found.id}  {found.name}: {len(found.runs)} runs"
