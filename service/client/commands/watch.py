"""`saddle watch`: follow runs until they end; leaving does not stop them."""

import argparse
import time
from collections.abc import Sequence

from service.client import naming
from service.client.commands.context import Commands, Context, command
from service.client.commands.live import Progress, Several
from service.client.errors import Refused, Unreachable
from service.client.following import PATIENCE_S
from service.client.views import Run

LOOK_S = 0.5
INTERRUPTED = 130


def add(commands: Commands) -> None:
    """Declare it."""
    summary = "follow a run, or all runs of an experiment, until they end (exit status 1 unless all succeed)"
    parser = command(commands, "watch", do, summary, "saddle watch latest")
    parser.add_argument("what", help="an id, the end of one, a name, NAME:SEED, or latest")


def do(asked: argparse.Namespace, context: Context) -> int:
    """Follow what is named."""
    return follow(context, naming.run_ids(context.client, asked.what))


def follow(context: Context, run_ids: Sequence[str]) -> int:
    """0 if all of them succeed, 1 if one does not; Ctrl-C leaves them running."""
    try:
        return _one(context, run_ids[0]) if len(run_ids) == 1 else _several(context, run_ids)
    except KeyboardInterrupt:
        if not context.json:
            named = " ".join(run_ids) if len(run_ids) < 4 else context.client.run(run_ids[0]).experiment_id
            context.say(f"\nno longer watching; it trains on. To stop it: saddle cancel {named}".lstrip("\n"))
        return INTERRUPTED


def _one(context: Context, run_id: str) -> int:
    """By its stream of events."""
    run = context.client.run(run_id)
    progress = Progress(context, run)
    for event in context.client.watch(run_id):
        if context.json:
            context.emit_line({"id": event.id, "event": event.kind, "data": event.data})
        else:
            progress.take(event)
    run = context.client.run(run_id)
    if not context.json:
        progress.end(run)
    return 0 if run.state == "succeeded" else 1


def _several(context: Context, run_ids: Sequence[str]) -> int:
    """By looking at all of them again and again."""
    view = Several(context)
    told: dict[str, tuple[str, int]] = {}
    while True:
        runs = _patiently(context, run_ids)
        for run in runs if context.json else ():
            if told.get(run.id) != (run.state, run.step):
                told[run.id] = run.state, run.step
                context.emit_line(run.raw)
        if not context.json:
            view.show(runs)
        if all(run.over for run in runs):
            if not context.json:
                view.end(runs)
            return 0 if all(run.state == "succeeded" for run in runs) else 1
        time.sleep(LOOK_S)


def _patiently(context: Context, run_ids: Sequence[str]) -> list[Run]:
    """The runs, also over a restart of the server."""
    began = time.monotonic()
    while True:
        try:
            owners = {context.client.run(run_ids[0]).experiment_id}
            found = {run.id: run for owner in owners for run in context.client.experiment(owner).runs}
            return [found.get(each) or context.client.run(each) for each in run_ids]
        except (Unreachable, Refused) as error:
            busy = isinstance(error, Unreachable) or error.http_status == 429
            if not busy or time.monotonic() - began > PATIENCE_S:
                raise
            time.sleep(LOOK_S)
