"""`saddle export`: every point of runs in a file that other tools read."""

import argparse
import sys
from pathlib import Path

from service.client import lookup
from service.client.commands.context import Commands, Context, command
from service.client.errors import Unusable
from service.client.export import FORMATS, format_of, write

TEXTS = ("csv", "ndjson")


def add(commands: Commands) -> None:
    """Declare the command."""
    example = "saddle export sgd adam --series loss,val/loss --output curves.parquet"
    parser = command(commands, "export", do, "write every point of runs as CSV, JSON lines, Parquet or Arrow", example)
    parser.add_argument("what", nargs="+", help="experiments or runs: ids, names, NAME:SEED")
    parser.add_argument("--format", choices=FORMATS, help="default: by the ending of the file, else csv")
    parser.add_argument("--output", "-o", type=Path, metavar="FILE", help="default, and with -: standard output")
    parser.add_argument("--series", help="only these, separated by commas")


def do(arguments: argparse.Namespace, context: Context) -> None:
    """Write the file."""
    client = context.client
    target = None if arguments.output == Path("-") else arguments.output
    form = arguments.format or (format_of(target) if target else "csv")
    if target is None and form not in TEXTS and sys.stdout.isatty():
        raise Unusable(f"{form} is not for a terminal: give --output FILE")
    if target is None and context.json:
        raise Unusable("with --json, give --output FILE: standard output is for the summary; or use --format ndjson")
    names = [name.strip() for name in arguments.series.split(",")] if arguments.series else None
    run_ids = list(dict.fromkeys(run_id for each in arguments.what for run_id in lookup.resolve_run_ids(client, each)))
    rows = write(client.columns(run_ids, names), form, target)
    if context.json:
        context.emit({"file": str(target), "format": form, "rows": rows, "runs": len(run_ids)})
    elif target is not None:
        context.say(f"{rows} rows of {len(run_ids)} runs in {target}")
