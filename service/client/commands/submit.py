"""`saddle submit`: post a spec."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from service.client import documents
from service.client.commands import watch
from service.client.commands.context import Commands, Context, command
from service.client.commands.run_table import show_warnings
from service.client.formatting import size

if TYPE_CHECKING:
    from service.schemas.experiments import PostedExperiment


def add(commands: Commands) -> None:
    """Declare the command."""
    example = "saddle submit preset:digits-adam --set optimizer.lr=1e-3 --seeds 0-4 --watch"
    parser = command(commands, "submit", do, "post a spec: a run is queued for each seed", example)
    parser.add_argument("spec", help="FILE.yaml, FILE.json, preset:NAME, or - for standard input")
    parser.add_argument(
        "--set", action="append", default=[], metavar="PATH=VALUE", help="change a value, like optimizer.lr=0.1"
    )
    parser.add_argument("--name", help="name of the experiment")
    parser.add_argument("--seeds", metavar="0-4", help="a run for each: 0-4 or 0,1,7")
    parser.add_argument("--dry-run", action="store_true", help="only check; nothing is stored")
    parser.add_argument("--watch", action="store_true", help="follow it until it ends")


def do(arguments: argparse.Namespace, context: Context) -> int:
    """Submit, and follow with --watch."""
    document = documents.read(arguments.spec) | ({"name": arguments.name} if arguments.name else {})
    seeds = documents.parse_seeds(arguments.seeds) if arguments.seeds else None
    made = context.client.submit(document, changes=arguments.set, seeds=seeds, dry_run=arguments.dry_run)
    if context.json and not (arguments.watch and made.id):
        context.emit(made)
        return 0
    if not context.json:
        show_posted(context, made)
    return watch.follow(context, [run.id for run in made.runs]) if arguments.watch and made.id else 0


def show_posted(context: Context, made: PostedExperiment) -> None:
    """Print what was created from the spec."""
    derived = made.derived
    facts = [f"{derived.total_steps} steps"] if derived else []
    if derived and derived.parameters is not None:
        facts.append(f"{derived.parameters:,} parameters")
    if derived and derived.memory_bytes is not None:
        facts.append(f"about {size(derived.memory_bytes)}")
    if derived and derived.alone:
        facts.append("each run alone")
    if made.id:
        facts.append(f"{len(made.runs)} run{'s' * (len(made.runs) != 1)} queued")
    context.say(f"{made.id or 'valid, nothing stored'}  {made.name}  ({', '.join(facts)})")
    show_warnings(context, made.warnings)
    if made.id:
        for run in made.runs[:10]:
            context.say(f"  {run.id}  seed {run.seed}")
        context.say(f"follow it: saddle watch {made.id}", "dim")
