"""`saddle compare`: which is better, by how much, and how sure that is."""

import argparse
from typing import Any

from service.client import lookup
from service.client.commands import comparison_report
from service.client.commands.context import Commands, Context, command
from service.client.errors import Unusable


def add(commands: Commands) -> None:
    """Declare the command."""
    summary = "compare groups of runs over their seeds: figures, intervals, verdict"
    example = "saddle compare sgd momentum adam --series val/loss"
    parser = command(commands, "compare", do, summary, example)
    parser.add_argument(
        "what", nargs="*", help="experiments (ids, ends of ids, names), runs (ids, NAME:SEED), or one stored comparison"
    )
    parser.add_argument("--filter", help="instead of names: every experiment that matches, like tag = sweep")
    parser.add_argument(
        "--series", help="which, ranked by the first (default: val/loss, val/accuracy and loss where they are measured)"
    )
    parser.add_argument("--x", help="align on step, epoch, samples, wall_s, ... (default step)")
    parser.add_argument("--points", type=int, help="of a curve (default 200)")
    parser.add_argument("--group", help="experiment, run, or a field of the spec like optimizer.kind")
    parser.add_argument(
        "--figure", choices=("best", "last"), help="which value of a run counts (default: best, of loss last)"
    )
    parser.add_argument("--baseline", help="hold the others against the group of this label")
    parser.add_argument(
        "--reference", type=float, help="test each group's mean for being better than this value, one-sided"
    )
    parser.add_argument("--smoothing", type=float, help="0 to 1: an exponential average beside the raw curve")
    parser.add_argument("--target", help="time to this value, or to this share of the way: 0.2 or 90%%")
    parser.add_argument("--no-chart", action="store_true", help="only the tables")


def do(arguments: argparse.Namespace, context: Context) -> None:
    """Compare, or read a stored comparison again."""
    client, what = context.client, arguments.what
    if bool(what) == bool(arguments.filter):
        raise Unusable("compare takes experiments, runs or a comparison by name, or a --filter that finds experiments")
    if len(what) == 1 and lookup.is_id(what[0], "cmp"):
        found = client.comparison(what[0])
    else:
        names = None if arguments.series is None else [name.strip() for name in arguments.series.split(",")]
        ids = [found for each in what for found in lookup.resolve(client, each)]
        found = client.compare(ids, names, **question(arguments))
    if context.json:
        context.emit(found)
    else:
        comparison_report.show(context, found, with_chart=not arguments.no_chart)


def question(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return what was given besides experiments and series; the server chooses the rest."""
    names = ("filter", "x", "points", "group", "figure", "baseline", "smoothing", "reference")
    given = {name: getattr(arguments, name) for name in names if getattr(arguments, name) is not None}
    return given | ({"target": target(arguments.target)} if arguments.target else {})


def target(text: str) -> dict[str, float]:
    """Return 0.2 as a value of the series, 90% as a share of the way there."""
    try:
        if text.endswith("%"):
            return {"share": float(text[:-1]) / 100}
        return {"value": float(text)}
    except ValueError:
        raise Unusable(f"--target {text!r}: a number like 0.2, or a share like 90%") from None
