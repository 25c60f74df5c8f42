"""`saddle cancel | pause | resume | retry | fork | replay | probe`: what people wish of runs."""

import argparse
import sys
from collections.abc import Callable

from service.client import documents, naming
from service.client.client import Client
from service.client.commands import watch
from service.client.commands.context import Commands, Context, command
from service.client.commands.submit import told
from service.client.errors import Refused
from service.client.terminal import plain
from service.client.views import Replay, Run

WISHES: dict[str, tuple[str, str, Callable[[Client, str], Run]]] = {
    "cancel": ("stop runs for good, after the step they are at", "saddle cancel adam:3", Client.cancel),
    "pause": ("save runs and free their workers", "saddle pause adam", Client.pause),
    "resume": ("let paused runs go on from where they were", "saddle resume adam", Client.resume),
}


def add(commands: Commands) -> None:
    """Declare them."""
    for name, (summary, example, _) in WISHES.items():
        parser = command(commands, name, do_wish, summary, example)
        parser.add_argument("what", nargs="+", help="runs or experiments: ids, names, NAME:SEED")
        parser.set_defaults(wish=name)
    summary = "a new run in place of one that failed or was cancelled"
    parser = _for_one_run(commands, "retry", do_retry, summary, "saddle retry adam:3 --from start --watch")
    parser.add_argument("--from", dest="start", choices=("checkpoint", "start"), help="default: its last checkpoint")
    summary = "a new experiment from a checkpoint of a run, with a changed spec"
    parser = _for_one_run(commands, "fork", do_fork, summary, "saddle fork adam:3 --step 500 --set optimizer.lr=1e-4")
    parser.add_argument("--step", type=int, help="which kept checkpoint (default: the newest)")
    parser.add_argument("--set", action="append", default=[], metavar="PATH=VALUE", help="what is changed")
    parser.add_argument("--name", help="what the new experiment is called")
    summary = "train a run again to see whether its numbers come out the same"
    parser = _for_one_run(commands, "replay", do_replay, summary, "saddle replay adam:3 --steps 100 --watch")
    parser.add_argument("--steps", type=int, help="only the first ones (default: all)")
    summary = "have instruments look at a kept state of a run"
    parser = _for_one_run(commands, "probe", do_probe, summary, "saddle probe adam:3 --kind critical_point --watch")
    parser.add_argument("--kind", action="append", required=True, metavar="KIND", help="saddle catalog probes has them")
    parser.add_argument("--step", type=int, help="which kept checkpoint (default: the newest)")
    parser.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE", help="of each instrument")


def _for_one_run(
    commands: Commands, name: str, do: Callable[[argparse.Namespace, Context], int], summary: str, example: str
) -> argparse.ArgumentParser:
    parser = command(commands, name, do, summary, example)
    parser.add_argument("what", help="a run: its id, or NAME:SEED")
    parser.add_argument("--watch", action="store_true", help="follow the new run until it ends")
    return parser


def do_wish(asked: argparse.Namespace, context: Context) -> int:
    """Each run that can still be asked; what refuses is said, the others go on."""
    client, refused = context.client, 0
    answers = []
    for run_id in [run_id for each in asked.what for run_id in _open(client, each)]:
        try:
            run = WISHES[asked.wish][2](client, run_id)
        except Refused as refusal:
            print(f"saddle: {run_id}: {plain(refusal.detail)}", file=sys.stderr)
            refused += 1
            continue
        answers.append(run.raw)
        if not context.json:
            context.say(f"{run.id}  seed {run.seed}  {run.displayed or run.state}")
    if context.json:
        context.emit(answers)
    elif not answers and not refused:
        context.say(f"nothing to {asked.wish}: all runs have ended")
    return 2 if refused else 0


def _open(client: Client, what: str) -> list[str]:
    """The run that is named, whatever its state; of an experiment those that have not ended."""
    found = naming.run_ids(client, what)
    if len(found) == 1:
        return found
    return [run_id for run_id in found if not client.run(run_id).over]


def do_retry(asked: argparse.Namespace, context: Context) -> int:
    """In the same experiment, with the same seed."""
    return _made(asked, context, context.client.retry(naming.run_id(context.client, asked.what), asked.start))


def do_replay(asked: argparse.Namespace, context: Context) -> int:
    """In the same experiment, with the same seed; watched, the exit status says whether it is identical."""
    client = context.client
    parent = naming.run_id(client, asked.what)
    run = client.replay(parent, asked.steps)
    status = _made(asked, context, run)
    if not asked.watch or status == watch.INTERRUPTED:
        return status
    found = next(each for each in client.replays(parent) if each.run.id == run.id)
    context.emit_line(found.raw) if context.json else verdict(context, found)
    return 0 if found.identical else 1


def do_probe(asked: argparse.Namespace, context: Context) -> int:
    """A job of its own; watched, what it found is told at its end."""
    client = context.client
    fields = documents.changed({}, asked.set)
    probes = [{"kind": kind} | fields for kind in asked.kind]
    run = client.probe(naming.run_id(client, asked.what), probes, asked.step)
    status = _made(asked, context, run)
    if asked.watch and status != watch.INTERRUPTED:
        for reading in client.readings(run.id):
            context.emit_line(reading.raw)
    return status


def verdict(context: Context, found: Replay) -> None:
    """Whether a replay is the same, and if not, where it first differs and why."""
    if found.identical:
        context.say(f"identical to the last bit over {found.compared_steps} steps", "green")
        return
    first = found.first_difference
    where = f"{first['series']} at step {first['step']} was {first['was']}, is {first['now']}" if first else "no values"
    context.say(f"not identical: {where}. {found.cause or ''}", "red")


def _made(asked: argparse.Namespace, context: Context, run: Run) -> int:
    if context.json and not asked.watch:
        context.emit(run.raw)
    elif not context.json:
        context.say(f"{run.id}  seed {run.seed}  {run.state}")
    return watch.follow(context, [run.id]) if asked.watch else 0


def do_fork(asked: argparse.Namespace, context: Context) -> int:
    """A new experiment of one run."""
    made = context.client.fork(naming.run_id(context.client, asked.what), asked.step, asked.set, asked.name)
    if context.json and not asked.watch:
        context.emit(made.raw)
    elif not context.json:
        told(context, made)
    return watch.follow(context, [run.id for run in made.runs]) if asked.watch else 0
