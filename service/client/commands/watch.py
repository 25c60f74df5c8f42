"""`saddle watch`: follow runs until they end; leaving does not stop them."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from service.client import lookup
from service.client.commands.context import INTERRUPTED, Commands, Context, command
from service.client.following import poll

if TYPE_CHECKING:
    from service.schemas.runs import RunView

EVERY_S = 0.5  # between two readings of several runs


def add(commands: Commands) -> None:
    """Declare the command."""
    summary = "follow a run, or all runs of an experiment, until they end (exit status 1 unless all succeed)"
    parser = command(commands, "watch", do, summary, "saddle watch latest")
    parser.add_argument("what", help="an id, the end of one, a name, NAME:SEED, or latest")


def do(arguments: argparse.Namespace, context: Context) -> int:
    """Follow the named runs."""
    return follow(context, lookup.resolve_run_ids(context.client, arguments.what))


def follow(context: Context, run_ids: Sequence[str]) -> int:
    """Return 0 if all of them succeed, 1 if one does not; Ctrl-C leaves them running."""
    try:
        return _follow_one(context, run_ids[0]) if len(run_ids) == 1 else _follow_several(context, run_ids)
    except KeyboardInterrupt:
        if not context.json:
            named = " ".join(run_ids) if len(run_ids) < 4 else context.client.run(run_ids[0]).experiment_id
            context.say(f"no longer watching; training continues. To stop it: saddle cancel {named}")
        return INTERRUPTED


def _follow_one(context: Context, run_id: str) -> int:
    """Follow a run by its stream of events."""
    from service.client.commands.progress import RunProgress  # noqa: PLC0415  numpy takes 0.1 s

    progress = RunProgress(context, context.client.run(run_id))
    for event in context.client.watch(run_id):
        if context.json:
            context.emit_line({"id": event.id, "event": event.kind, "data": event.data})
        else:
            progress.add(event)
    run = context.client.run(run_id)
    if not context.json:
        progress.end(run)
    return 0 if run.state == "succeeded" else 1


def _follow_several(context: Context, run_ids: Sequence[str]) -> int:
    """Follow runs by reading them again and again."""
    from service.client.commands.progress import RunsProgress  # noqa: PLC0415

    progress = RunsProgress(context)
    runs: list[RunView] = []
    reported: dict[str, tuple[str, int]] = {}
    for runs in poll(lambda: _read(context, run_ids), lambda found: all(run.over for run in found), EVERY_S):
        for run in runs if context.json else ():
            if reported.get(run.id) != (run.state, run.step):
                reported[run.id] = run.state, run.step
                context.emit_line(run)
        if not context.json:
            progress.show(runs)
    if not context.json:
        progress.end(runs)
    return 0 if all(run.state == "succeeded" for run in runs) else 1


def _read(context: Context, run_ids: Sequence[str]) -> list[RunView]:
    """Return the runs, which mostly belong to one experiment."""
    experiment = context.client.experiment(context.client.run(run_ids[0]).experiment_id)
    found = {run.id: run for run in experiment.runs}
    return [found.get(each) or context.client.run(each) for each in run_ids]
