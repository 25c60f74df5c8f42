"""`saddle verify`: try the remedy of a finding, and hear whether it helped."""

import argparse
import time

from service.client import naming
from service.client.commands.context import Commands, Context, command
from service.client.views import Verification

COLOURS = {"helped": "green", "did_not_help": "red", "undecided": "yellow"}
LOOK_S = 1.0  # between two looks whether it is known


def add(commands: Commands) -> None:
    """Declare it."""
    summary = "try the remedy of a finding: train on with it and without, and tell whether it helped"
    parser = command(commands, "verify", do, summary, "saddle verify adam:3 R6 --seeds 3 --watch")
    parser.add_argument("what", help="a run: its id, or NAME:SEED")
    parser.add_argument("finding", help="of its diagnosis: saddle diagnose has them")
    parser.add_argument("--seeds", type=int, default=1, help="with and without the remedy so often (1 to 5; default 1)")
    parser.add_argument("--watch", action="store_true", help="wait for the outcome")
    parser.add_argument("--list", action="store_true", help="only tell what came of earlier tries")


def do(asked: argparse.Namespace, context: Context) -> int:
    """Status 1 where a watched remedy did not help."""
    client = context.client
    run_id = naming.run_id(client, asked.what)
    if asked.list:
        found = client.verifications(run_id, asked.finding)
        if context.json:
            context.emit([each.raw for each in found])
        for each in () if context.json else found:
            _tell(context, each)
        return 0
    made = client.verify(run_id, asked.finding, asked.seeds)
    while asked.watch and not made.over:
        time.sleep(LOOK_S)
        made = next(each for each in client.verifications(run_id, asked.finding) if each.id == made.id)
    context.emit(made.raw) if context.json else _tell(context, made)
    return int(asked.watch and made.outcome != "helped")


def _tell(context: Context, found: Verification) -> None:
    """What is known of it."""
    word = found.outcome or found.state
    context.say(f"{word.replace('_', ' ')}: {found.why or 'not known yet'}", COLOURS.get(word))
    for name, run in (("without", found.control), ("with", found.patched)):
        context.say(f"  {name:8}{run.id}  {run.state}" if run else f"  {name:8}-")
    context.say(f"  from step {found.from_step} of {found.run_id}, finding {found.finding} ({found.verdict})")
