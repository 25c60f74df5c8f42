"""`saddle cancel | pause | resume | retry | fork | replay | probe`: commands on runs."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING

from service.client import documents, lookup
from service.client.client import Client
from service.client.commands import watch
from service.client.commands.context import INTERRUPTED, Commands, Context, Do, command
from service.client.commands.submit import show_posted
from service.client.errors import Refused

if TYPE_CHECKING:
    from service.schemas.replays import ReplayView
    from service.schemas.runs import RunView

ACTIONS: dict[str, tuple[str, str, Callable[[Client, str], RunView]]] = {
    "cancel": ("stop runs for good, after the current step", "saddle cancel adam:3", Client.cancel),
    "pause": ("save a checkpoint of runs and free their workers", "saddle pause adam", Client.pause),
    "resume": ("continue paused runs from their checkpoints", "saddle resume adam", Client.resume),
}


def add(commands: Commands) -> None:
    """Declare the commands."""
    for name, (summary, example, _) in ACTIONS.items():
        parser = command(commands, name, act, summary, example)
        parser.add_argument("what", nargs="+", help="runs or experiments: ids, names, NAME:SEED")
        parser.set_defaults(action=name)
    summary = "replace a run that failed or was cancelled by a new one"
    parser = _for_one_run(commands, "retry", do_retry, summary, "saddle retry adam:3 --from start --watch")
    parser.add_argument("--from", dest="start", choices=("checkpoint", "start"), help="default: its last checkpoint")
    summary = "start a new experiment from a checkpoint of a run, with a changed spec"
    parser = _for_one_run(commands, "fork", do_fork, summary, "saddle fork adam:3 --step 500 --set optimizer.lr=1e-4")
    parser.add_argument("--step", type=int, help="which checkpoint (default: the newest)")
    parser.add_argument("--set", action="append", default=[], metavar="PATH=VALUE", help="change a value of the spec")
    parser.add_argument("--name", help="name of the new experiment")
    summary = "train a run again to see whether its numbers come out the same"
    parser = _for_one_run(commands, "replay", do_replay, summary, "saddle replay adam:3 --steps 100 --watch")
    parser.add_argument("--steps", type=int, help="only the first steps (default: all)")
    summary = "run probes on a checkpoint of a run"
    parser = _for_one_run(commands, "probe", do_probe, summary, "saddle probe adam:3 --kind critical_point --watch")
    parser.add_argument("--kind", action="append", required=True, metavar="KIND", help="saddle catalog probes has them")
    parser.add_argument("--step", type=int, help="which checkpoint (default: the newest)")
    parser.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE", help="set a field of each probe")


def _for_one_run(commands: Commands, name: str, do: Do, summary: str, example: str) -> argparse.ArgumentParser:
    parser = command(commands, name, do, summary, example)
    parser.add_argument("what", help="a run: its id, or NAME:SEED")
    parser.add_argument("--watch", action="store_true", help="follow the new run until it ends")
    return parser


def act(arguments: argparse.Namespace, context: Context) -> int:
    """Cancel, pause or resume each run that allows it; report the others and return 2."""
    client, refused = context.client, 0
    changed = []
    for run_id in [run_id for each in arguments.what for run_id in _unfinished(client, each)]:
        try:
            run = ACTIONS[arguments.action][2](client, run_id)
        except Refused as refusal:
            context.warn(f"{run_id}: {refusal.detail}")
            refused += 1
            continue
        changed.append(run)
        if not context.json:
            context.say(f"{run.id}  seed {run.seed}  {run.displayed or run.state}")
    if context.json:
        context.emit(changed)
    elif not changed and not refused:
        context.say(f"nothing to {arguments.action}: all runs have ended")
    return 2 if refused else 0


def _unfinished(client: Client, what: str) -> list[str]:
    """Return the run that is named, in any state; of an experiment the runs that have not ended."""
    found = lookup.resolve_run_ids(client, what)
    if len(found) == 1:
        return found
    return [run_id for run_id in found if not client.run(run_id).over]


def do_retry(arguments: argparse.Namespace, context: Context) -> int:
    """Retry in the same experiment, with the same seed."""
    run_id = lookup.resolve_run_id(context.client, arguments.what)
    return _show_and_watch(arguments, context, context.client.retry(run_id, arguments.start))


def do_replay(arguments: argparse.Namespace, context: Context) -> int:
    """Replay in the same experiment, with the same seed; if watched, return 1 unless it is identical."""
    client = context.client
    parent = lookup.resolve_run_id(client, arguments.what)
    run = client.replay(parent, arguments.steps)
    status = _show_and_watch(arguments, context, run)
    if not arguments.watch or status == INTERRUPTED:
        return status
    found = next(each for each in client.replays(parent) if each.run.id == run.id)
    context.emit_line(found) if context.json else show_verdict(context, found)
    return 0 if found.identical else 1


def do_probe(arguments: argparse.Namespace, context: Context) -> int:
    """Run probes as a job of their own; if watched, print what they found."""
    client = context.client
    fields = documents.apply_changes({}, arguments.set)
    probes = [{"kind": kind} | fields for kind in arguments.kind]
    run = client.probe(lookup.resolve_run_id(client, arguments.what), probes, arguments.step)
    status = _show_and_watch(arguments, context, run)
    if arguments.watch and status != INTERRUPTED:
        for reading in client.readings(run.id):
            context.emit_line(reading)
    return status


def show_verdict(context: Context, found: ReplayView) -> None:
    """Print whether a replay is the same, and if not, where it first differs and why."""
    if found.identical:
        context.say(f"identical to the last bit over {found.compared_steps} steps", "green")
        return
    first = found.first_difference
    where = f"{first.series} at step {first.step} was {first.was}, is {first.now}" if first else "no values"
    context.say(f"not identical: {where}. {found.cause or ''}", "red")


def _show_and_watch(arguments: argparse.Namespace, context: Context, run: RunView) -> int:
    if context.json and not arguments.watch:
        context.emit(run)
    elif not context.json:
        context.say(f"{run.id}  seed {run.seed}  {run.state}")
    return watch.follow(context, [run.id]) if arguments.watch else 0


def do_fork(arguments: argparse.Namespace, context: Context) -> int:
    """Fork a run into a new experiment."""
    run_id = lookup.resolve_run_id(context.client, arguments.what)
    made = context.client.fork(run_id, arguments.step, arguments.set, arguments.name)
    if context.json and not arguments.watch:
        context.emit(made)
    elif not context.json:
        show_posted(context, made)
    return watch.follow(context, [run.id for run in made.runs]) if arguments.watch else 0
