"""`saddle submit`: post a spec."""

import argparse

from service.client import documents
from service.client.commands import watch
from service.client.commands.context import Commands, Context, command
from service.client.commands.shown import show_warnings
from service.client.views import Experiment


def add(commands: Commands) -> None:
    """Declare it."""
    example = "saddle submit preset:digits-adam --set optimizer.lr=1e-3 --seeds 0-4 --watch"
    parser = command(commands, "submit", do, "post a spec: a run is queued for each seed", example)
    parser.add_argument("spec", help="FILE.yaml, FILE.json, preset:NAME, or - for standard input")
    parser.add_argument(
        "--set", action="append", default=[], metavar="PATH=VALUE", help="change a value, like optimizer.lr=0.1"
    )
    parser.add_argument("--name", help="what the experiment is called")
    parser.add_argument("--seeds", metavar="0-4", help="a run for each: 0-4 or 0,1,7")
    parser.add_argument("--dry-run", action="store_true", help="only check; nothing is stored")
    parser.add_argument("--watch", action="store_true", help="follow it until it ends")


def do(asked: argparse.Namespace, context: Context) -> int:
    """Submit, and follow if wished."""
    document = documents.read(asked.spec) | ({"name": asked.name} if asked.name else {})
    seeds = documents.seeds(asked.seeds) if asked.seeds else None
    made = context.client.submit(document, changes=asked.set, seeds=seeds, dry_run=asked.dry_run)
    if context.json and not (asked.watch and made.id):
        context.emit(made.raw)
        return 0
    if not context.json:
        told(context, made)
    return watch.follow(context, [run.id for run in made.runs]) if asked.watch and made.id else 0


def told(context: Context, made: Experiment) -> None:
    """What was made of the spec."""
    derived = made.derived
    facts = [f"{derived.get('total_steps')} steps"] if derived else []
    if derived.get("parameters") is not None:
        facts.append(f"{derived['parameters']:,} parameters")
    if derived.get("memory_bytes") is not None:
        facts.append(f"about {derived['memory_bytes'] / 2**20:.1f} MiB")
    runs = f"{len(made.runs)} run{'s' * (len(made.runs) != 1)} queued"
    context.say(f"{made.id or 'valid, nothing stored'}  {made.name}  ({', '.join([*facts, *[runs] * bool(made.id)])})")
    show_warnings(context, made)
    if made.id:
        for run in made.runs[:10]:
            context.say(f"  {run.id}  seed {run.seed}")
        context.say(f"follow it: saddle watch {made.id}", "dim")
