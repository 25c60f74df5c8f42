"""`saddle delete | bin | restore`: put experiments, studies and uploads into the bin, list it, bring them back."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from service.client import lookup
from service.client.client import Client
from service.client.commands.context import Commands, Context, command
from service.client.errors import Refused, Unusable
from service.client.formatting import age, size
from service.spec.text import normalise

if TYPE_CHECKING:
    from service.schemas.people.sharing import BinView


def add(commands: Commands) -> None:
    """Declare the commands."""
    summary = "put experiments with their curves and checkpoints, studies with their trials, or uploads, into the bin"
    parser = command(commands, "delete", do, summary, "saddle delete first-try --yes")
    parser.add_argument("what", nargs="+", help="experiments: ids or names; studies and uploads: ids")
    parser.add_argument("--yes", action="store_true", help="delete; without it, only show what would be deleted")
    parser.add_argument("--forever", action="store_true", help="delete for good, from the bin too (by id)")
    command(commands, "bin", do_bin, "what was deleted and can be restored", "saddle bin")
    parser = command(
        commands, "restore", do_restore, "take experiments, studies or uploads out of the bin", "saddle restore adam"
    )
    parser.add_argument("what", nargs="+", help="ids, ends of ids, or names of what is in the bin")


def do(arguments: argparse.Namespace, context: Context) -> int:
    """Delete what can be deleted and report the rest. Without --yes, delete nothing and return 2."""
    client, refused = context.client, 0
    deleted = []
    for thing in [_resolve(client, what) for what in arguments.what]:  # all are found before one is deleted
        described = thing if arguments.forever else _describe(client, thing)
        if not arguments.yes:
            context.warn(f"would delete {described}{' for good' if arguments.forever else ''}")
            continue
        try:
            _delete(client, thing, arguments.forever)
        except Refused as refusal:
            context.warn(f"{thing}: {refusal.detail}")
            refused += 1
            continue
        deleted.append({"id": thing})
        if not context.json:
            context.say(f"deleted {described}{' for good' if arguments.forever else ''}")
    if not arguments.yes:
        context.warn("nothing was deleted: confirm with --yes")
    elif context.json:
        context.emit(deleted)
    elif deleted and not arguments.forever:
        context.say("It is in the bin: `saddle restore` brings it back, `saddle bin` says until when.")
    return 2 if refused or not arguments.yes else 0


def _resolve(client: Client, what: str) -> str:
    """Return the id of the upload, study or experiment."""
    by_id = lookup.is_id(what, "dat") or lookup.is_id(what, "std")
    return what if by_id else lookup.resolve_experiment_id(client, what, archived=True)


def _delete(client: Client, thing: str, forever: bool) -> None:
    if lookup.is_id(thing, "dat"):
        client.delete_dataset(thing, forever)
    elif lookup.is_id(thing, "std"):
        client.delete_study(thing, forever)
    else:
        client.delete(thing, forever)


def _describe(client: Client, thing: str) -> str:
    """Return what is deleted with it."""
    if lookup.is_id(thing, "dat"):
        return thing
    if lookup.is_id(thing, "std"):
        study = client.study(thing)
        return f"{study.id}  {study.name}, of {study.owner}: {sum(study.trials.values())} trials"
    found = client.experiment(thing)
    return f"{found.id}  {found.name}, of {found.owner}: {len(found.runs)} runs"


def do_bin(arguments: argparse.Namespace, context: Context) -> None:
    """List what is in the bin, the last deleted first."""
    found = list(context.client.bin())
    rows = [[each.id, each.name, each.owner, size(each.size_bytes), *_times(each)] for each in found]
    context.show(found, ["id", "name", "owner", "size", "deleted", "kept until"], rows)


def _times(item: BinView) -> tuple[str, str]:
    return f"{age(item.deleted_at)} ago by {item.deleted_by}", f"{item.erased_after:%Y-%m-%d}"


def do_restore(arguments: argparse.Namespace, context: Context) -> None:
    """Restore each, once all are found."""
    there = list(context.client.bin())
    chosen = [_in_bin(there, text) for text in arguments.what]
    client = context.client
    take = {"dataset": client.restore_dataset, "study": client.restore_study, "experiment": client.restore}
    restored = [take[each.kind](each.id) for each in chosen]
    if context.json:
        context.emit(restored)
    else:
        for each in chosen:
            context.say(f"restored {each.id}  {each.name}")


def _in_bin(there: list[BinView], text: str) -> BinView:
    """Return the one thing in the bin that is meant."""
    found = [each for each in there if text == each.id or normalise(text) == each.name]
    found = found or [each for each in there if lookup.ENDING.fullmatch(text) and each.id.endswith(text)]
    if len(found) == 1:
        return found[0]
    if not found:
        raise Unusable(f"nothing in the bin is called {text!r}; `saddle bin` shows what there is")
    listed = [f"  {each.id}  {each.name}, deleted {age(each.deleted_at)} ago" for each in found]
    raise Unusable("\n".join([f"{len(found)} things in the bin are called {text!r}: give an id", *listed]))
