"""`saddle label | archive | unarchive`: change an experiment's name, tags and notes, or archive it."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from service.client import lookup
from service.client.commands.context import Commands, Context, command
from service.client.errors import Refused, Unusable
from service.spec.text import normalise

if TYPE_CHECKING:
    from service.schemas.experiments import ExperimentView

MAX_TRIES = 5  # to change tags that others change too
PRECONDITION_FAILED = 412


def add(commands: Commands) -> None:
    """Declare the commands."""
    summary = "change names, tags and notes of experiments; their specs stay"
    parser = command(commands, "label", do_label, summary, "saddle label adam --tag sweep --notes 'before the fix'")
    parser.add_argument("what", nargs="+", help="experiments: ids, ends of ids, names")
    parser.add_argument("--name", help="another name, for one experiment")
    parser.add_argument("--tag", action="append", default=[], help="add one; may be repeated")
    parser.add_argument("--untag", action="append", default=[], help="take one away; may be repeated")
    parser.add_argument("--notes", help="in place of the notes there are")
    for word, away in (("archive", True), ("unarchive", False)):
        summary = "archive experiments: lists leave them out" if away else "bring experiments back into lists"
        parser = command(commands, word, do_archive, summary, f"saddle {word} first-try")
        parser.add_argument("what", nargs="+", help="experiments: ids, ends of ids, names")
        parser.set_defaults(away=away)


def do_label(arguments: argparse.Namespace, context: Context) -> None:
    """Change each experiment, once all are found."""
    if arguments.name is not None and len(arguments.what) > 1:
        raise Unusable("--name is for one experiment")
    if arguments.name is None and arguments.notes is None and not arguments.tag and not arguments.untag:
        raise Unusable("say what to change: --name, --tag, --untag or --notes")
    ids = [lookup.resolve_experiment_id(context.client, each) for each in arguments.what]
    _show(context, [_label(arguments, context, each) for each in ids])


def _label(arguments: argparse.Namespace, context: Context, experiment_id: str) -> ExperimentView:
    """Add and remove tags; try again if somebody else has changed them meanwhile."""
    labels = {"name": arguments.name, "notes": arguments.notes}
    added, removed = ([normalise(tag).strip() for tag in tags] for tags in (arguments.tag, arguments.untag))
    if not added and not removed:
        return context.client.label(experiment_id, **labels)
    for attempt in range(MAX_TRIES):
        found = context.client.experiment(experiment_id)
        tags = [tag for tag in dict.fromkeys([*found.tags, *added]) if tag not in removed]
        try:
            return context.client.label(experiment_id, **labels, tags=tags, if_match=found.etag)
        except Refused as refusal:
            if refusal.http_status != PRECONDITION_FAILED or attempt == MAX_TRIES - 1:
                raise
    raise AssertionError("the last try returns or raises")


def do_archive(arguments: argparse.Namespace, context: Context) -> None:
    """Change each experiment, once all are found."""
    ids = [lookup.resolve_experiment_id(context.client, each, archived=True) for each in arguments.what]
    _show(context, [context.client.archive(each, arguments.away) for each in ids])


def _show(context: Context, written: list[ExperimentView]) -> None:
    rows = [[each.id, each.name, ", ".join(each.tags), "archived" if each.archived_at else ""] for each in written]
    context.show(written, ["experiment", "name", "tags", ""], rows)
