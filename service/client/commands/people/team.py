"""`saddle move | share | unshare | comment | comments | project`: working with others on experiments."""

import argparse

from service.client import lookup
from service.client.commands.context import Commands, Context, command
from service.client.formatting import age


def add(commands: Commands) -> None:
    """Declare the commands."""
    parser = command(
        commands, "move", do_move, "move ended experiments to another project of yours", "saddle move adam vision"
    )
    parser.add_argument("what", nargs="+", help="experiments: ids, ends of ids, names")
    parser.add_argument("project", help="its name")
    for word, shared in (("share", True), ("unshare", False)):
        summary = "let another project read experiments" if shared else "stop sharing experiments with a project"
        parser = command(commands, word, do_share, summary, f"saddle {word} adam vision")
        parser.add_argument("what", nargs="+", help="experiments: ids, ends of ids, names")
        parser.add_argument("project", help="its name")
        parser.set_defaults(shared=shared)
    summary = "comment on an experiment or run, or without a text list the comments on it"
    parser = command(commands, "comment", do_comment, summary, "saddle comment adam:2 '@ann look at the loss'")
    parser.add_argument("what", help="an experiment or run: id, end of an id, name, or NAME:SEED")
    parser.add_argument("text", nargs="?", help="Markdown; @name names a member of the project")
    parser = command(
        commands,
        "project",
        do_project,
        "the project of the key, and its settings",
        "saddle project --members-manage on",
    )
    parser.add_argument(
        "--members-manage", choices=("on", "off"), help="whether members may change and delete each other's work"
    )


def do_move(arguments: argparse.Namespace, context: Context) -> None:
    """Move each experiment, once all are found."""
    ids = [lookup.resolve_experiment_id(context.client, each, archived=True) for each in arguments.what]
    for experiment_id in ids:
        context.client.move(experiment_id, arguments.project)
        if not context.json:
            context.say(f"{experiment_id} is in the project {arguments.project} now")
    if context.json:
        context.emit([{"id": experiment_id, "project": arguments.project} for experiment_id in ids])


def do_share(arguments: argparse.Namespace, context: Context) -> None:
    """Share or unshare each experiment, once all are found."""
    ids = [lookup.resolve_experiment_id(context.client, each, archived=True) for each in arguments.what]
    found = {each: context.client.share(each, arguments.project, arguments.shared) for each in ids}
    rows = [[each, ", ".join(share.project for share in shares) or "nobody else"] for each, shares in found.items()]
    shown = [{"id": each, "shared_with": [share.project for share in shares]} for each, shares in found.items()]
    context.emit(shown) if context.json else context.table(["experiment", "shared with"], rows)


def do_comment(arguments: argparse.Namespace, context: Context) -> None:
    """Comment on one thing, or list what was said about it."""
    found = lookup.resolve(context.client, arguments.what)
    run_id = found[0] if lookup.is_id(found[0], "run") else None
    experiment_id = context.client.run(run_id).experiment_id if run_id else found[0]
    if arguments.text is not None:
        made = context.client.comment(experiment_id, arguments.text, run_id)
        named = f", {', '.join(made.mentions)} named" if made.mentions else ""
        context.emit(made) if context.json else context.say(f"commented {made.id}{named}")
        return
    said = list(context.client.comments(experiment_id, run_id))
    rows = [[each.author, age(each.created_at), each.run_id[-8:] if each.run_id else "", each.text] for each in said]
    context.show(said, ["author", "age", "run", "text"], rows)


def do_project(arguments: argparse.Namespace, context: Context) -> None:
    """Show the project, and change a setting where one is given."""
    client = context.client
    given = arguments.members_manage
    found = client.project() if given is None else client.change_project(given == "on")
    manage = "may" if found.members_manage else "may not"
    if context.json:
        context.emit(found)
    else:
        context.say(f"{found.name}  {found.id}: members {manage} change and delete each other's work")
