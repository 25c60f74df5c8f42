"""`saddle diagnose`: why a run learned or did not."""

import argparse

from service.client import lookup
from service.client.commands.context import Commands, Context, command

COLOURS = {"FAULT": "red", "WARNING": "yellow", "HEALTHY": "green"}


def add(commands: Commands) -> None:
    """Declare the command."""
    parser = command(
        commands, "diagnose", do, "why a run learned or did not, and what to try", "saddle diagnose adam:3"
    )
    parser.add_argument("what", help="a run: its id, or NAME:SEED; it may still train")


def do(arguments: argparse.Namespace, context: Context) -> int:
    """Return 1 if there is a fault."""
    client = context.client
    run_id = lookup.resolve_run_id(client, arguments.what)
    if context.json:
        found = client.diagnosis(run_id)
        context.emit(found)
        return int(found.level == "fault")
    text = client.diagnosis_text(run_id)
    first, *rest = text.splitlines()
    level = first.partition(":")[0]
    context.say(first, COLOURS.get(level))
    for line in rest:
        context.say(line)
    return int(level == "FAULT")
