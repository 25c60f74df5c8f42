"""`saddle label | archive | unarchive`: what people write on an experiment, and putting it away."""

import argparse

from service.client import naming
from service.client.commands.context import Commands, Context, command
from service.client.errors import Refused, Unusable
from service.client.views import Experiment
from service.spec.text import normalise

TRIES = 5  # to change tags that others change, too
CHANGED = 412


def add(commands: Commands) -> None:
    """Declare them."""
    summary = "write names, tags and notes on experiments; their specs stay"
    parser = command(commands, "label", do_label, summary, "saddle label adam --tag sweep --notes 'before the fix'")
    parser.add_argument("what", nargs="+", help="experiments: ids, ends of ids, names")
    parser.add_argument("--name", help="another name, for one experiment")
    parser.add_argument("--tag", action="append", default=[], help="add one; may be repeated")
    parser.add_argument("--untag", action="append", default=[], help="take one away; may be repeated")
    parser.add_argument("--notes", help="in place of the notes there are")
    for word, away in (("archive", True), ("unarchive", False)):
        summary = "put experiments away: lists leave them out" if away else "bring experiments back into lists"
        parser = command(commands, word, do_archive, summary, f"saddle {word} first-try")
        parser.add_argument("what", nargs="+", help="experiments: ids, ends of ids, names")
        parser.set_defaults(away=away)


def do_label(asked: argparse.Namespace, context: Context) -> int:
    """Each of them, once all are found."""
    if asked.name is not None and len(asked.what) > 1:
        raise Unusable("--name is for one experiment")
    if asked.name is None and asked.notes is None and not asked.tag and not asked.untag:
        raise Unusable("say what to write: --name, --tag, --untag or --notes")
    ids = [naming.experiment_id(context.client, each) for each in asked.what]
    written = [_label(asked, context, each) for each in ids]
    _show(context, written)
    return 0


def _label(asked: argparse.Namespace, context: Context, experiment_id: str) -> Experiment:
    """Add and remove tags of those that are there, once more where somebody else changed them meanwhile."""
    said = {"name": asked.name, "notes": asked.notes}
    added, removed = ([normalise(tag).strip() for tag in tags] for tags in (asked.tag, asked.untag))
    if not added and not removed:
        return context.client.label(experiment_id, **said)
    for attempt in range(TRIES):
        found = context.client.experiment(experiment_id)
        tags = [tag for tag in dict.fromkeys([*found.raw.get("tags", []), *added]) if tag not in removed]
        try:
            return context.client.label(experiment_id, **said, tags=tags, if_match=found.etag)
        except Refused as refusal:
            if refusal.http_status != CHANGED or attempt == TRIES - 1:
                raise
    raise AssertionError("the last try returns or raises")


def do_archive(asked: argparse.Namespace, context: Context) -> int:
    """Each of them, once all are found."""
    ids = [naming.experiment_id(context.client, each, archived=True) for each in asked.what]
    _show(context, [context.client.archive(each, asked.away) for each in ids])
    return 0


def _show(context: Context, written: list[Experiment]) -> None:
    if context.json:
        context.emit([each.raw for each in written])
    else:
        rows = [[each.id or "", each.name, ", ".join(each.raw.get("tags", [])), _away(each)] for each in written]
        context.table(["experiment", "name", "tags", ""], rows)


def _away(each: Experiment) -> str:
    return "archived" if each.raw.get("archived_at") else ""
