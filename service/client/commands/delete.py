"""`saddle delete`: delete experiments and uploads for good."""

import argparse

from service.client import lookup
from service.client.client import Client
from service.client.commands.context import Commands, Context, command
from service.client.errors import Refused


def add(commands: Commands) -> None:
    """Declare the command."""
    summary = "delete experiments with their curves and checkpoints, or uploads, for good"
    parser = command(commands, "delete", do, summary, "saddle delete first-try --yes")
    parser.add_argument("what", nargs="+", help="experiments: ids or names; uploads: ids")
    parser.add_argument("--yes", action="store_true", help="delete; without it, only show what would be deleted")


def do(arguments: argparse.Namespace, context: Context) -> int:
    """Delete what can be deleted and report the rest. Without --yes, delete nothing and return 2."""
    client, refused = context.client, 0
    deleted = []
    for thing in [_resolve(client, what) for what in arguments.what]:  # all are found before one is deleted
        is_upload = lookup.is_id(thing, "dat")
        described = thing if is_upload else _describe(client, thing)
        if not arguments.yes:
            context.warn(f"would delete {described}")
            continue
        try:
            client.delete_dataset(thing) if is_upload else client.delete(thing)
        except Refused as refusal:
            context.warn(f"{thing}: {refusal.detail}")
            refused += 1
            continue
        deleted.append({"id": thing})
        if not context.json:
            context.say(f"deleted {described}")
    if not arguments.yes:
        context.warn("nothing was deleted: confirm with --yes")
    elif context.json:
        context.emit(deleted)
    return 2 if refused or not arguments.yes else 0


def _resolve(client: Client, what: str) -> str:
    """Return the id of the upload or experiment."""
    return what if lookup.is_id(what, "dat") else lookup.resolve_experiment_id(client, what, archived=True)


def _describe(client: Client, experiment_id: str) -> str:
    """Return what is deleted with the experiment."""
    found = client.experiment(experiment_id)
    return f"{found.id}  {found.name}: {len(found.runs)} runs"
