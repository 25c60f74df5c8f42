"""`saddle verify`: try the remedy of a finding, and report whether it helped."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from service.client import answers, lookup
from service.client.client import Client
from service.client.commands.context import Commands, Context, command
from service.client.following import poll

if TYPE_CHECKING:
    from collections.abc import Iterator

    from service.schemas.verifications import VerificationView

COLOURS = {"helped": "green", "did_not_help": "red", "symptom_gone": "yellow", "undecided": "yellow"}


def add(commands: Commands) -> None:
    """Declare the command."""
    summary = "try the remedy of a finding: train on with it and without, and tell whether it helped"
    parser = command(commands, "verify", do, summary, "saddle verify adam:3 lr_too_small --seeds 3 --watch")
    parser.add_argument("what", help="a run: its id, or NAME:SEED")
    parser.add_argument("finding", help="a verdict of its diagnosis: saddle diagnose has them")
    parser.add_argument("--seeds", type=int, default=1, help="runs with and without the remedy (1 to 5; default 1)")
    parser.add_argument("--watch", action="store_true", help="wait for the outcome")
    parser.add_argument("--list", action="store_true", help="only show the outcomes of earlier tries")


def do(arguments: argparse.Namespace, context: Context) -> int:
    """Return 1 if a watched remedy did not help."""
    client = context.client
    run_id = lookup.resolve_run_id(client, arguments.what)
    finding = _finding_id(client, run_id, arguments.finding)
    if arguments.list:
        found = client.verifications(run_id, finding)
        if context.json:
            context.emit(found)
        for each in () if context.json else found:
            _show(context, each)
        return 0
    made = client.verify(run_id, finding, arguments.seeds)
    if arguments.watch:
        *_, made = poll_verification(client, made)
    context.emit(made) if context.json else _show(context, made)
    return int(arguments.watch and made.outcome != "helped")


def _finding_id(client: Client, run_id: str, word: str) -> str:
    """Return the id of the finding with this verdict, with blanks or underscores; any other word is an id."""
    verdict = word.strip().replace(" ", "_")
    found = answers.raw(client.diagnosis(run_id))["findings"]
    return str(next((each["id"] for each in found if each["verdict"] == verdict), word))


def poll_verification(client: Client, made: VerificationView) -> Iterator[VerificationView]:
    """Yield the verification again and again until its outcome is known."""

    def read() -> VerificationView:
        return next(each for each in client.verifications(made.run_id, made.finding) if each.id == made.id)

    return poll(read, lambda each: each.over)


def _show(context: Context, found: VerificationView) -> None:
    word = str(found.outcome or found.state)
    context.say(f"{word.replace('_', ' ')}: {found.why or 'not known yet'}", COLOURS.get(word))
    for name, run in (("without", found.control), ("with", found.patched)):
        context.say(f"  {name:8}{run.id}  {run.state}" if run else f"  {name:8}-")
    context.say(f"  from step {found.from_step} of {found.run_id}: {found.verdict}")
