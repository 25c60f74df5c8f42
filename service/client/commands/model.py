"""`saddle model | card | predictions | split`: take home a trained model, its card, its predictions and its rows."""

from __future__ import annotations

import argparse
import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from service.client import lookup
from service.client.commands.context import Commands, Context, command
from service.client.errors import Unusable

if TYPE_CHECKING:
    from service.schemas.run_split import SplitView


def add(commands: Commands) -> None:
    """Declare the commands."""
    summary = "download a trained model as a folder whose load.py needs no Saddle"
    parser = command(commands, "model", do_model, summary, "saddle model adam:3 digits-model")
    parser.add_argument("what", help="a run: its id, or NAME:SEED")
    parser.add_argument("folder", type=Path, help="a new folder")
    parser.add_argument("--step", type=int, help="which checkpoint (default: the newest)")
    parser.add_argument("--average", action="store_true", help="the averaged weights of a run with ema or swa")
    summary = "download the predictions of a run on its validation part as a Parquet file"
    parser = command(
        commands, "predictions", do_predictions, summary, "saddle predictions adam:3 -o predictions.parquet"
    )
    parser.add_argument("what", help="a run: its id, or NAME:SEED")
    parser.add_argument(
        "--output", "-o", type=Path, metavar="FILE", help="a new file (default RUN-predictions.parquet)"
    )
    summary = "say how many rows a run trains on, validates on and tests on, or list them"
    parser = command(commands, "split", do_split, summary, "saddle split adam:3 -o rows.csv")
    parser.add_argument("what", help="a run: its id, or NAME:SEED")
    parser.add_argument("--output", "-o", type=Path, metavar="FILE", help="a new CSV file of row and part")
    summary = "print the model card of a run as markdown"
    parser = command(commands, "card", do_card, summary, "saddle card adam:3 > card.md")
    parser.add_argument("what", help="a run: its id, or NAME:SEED")


def do_model(arguments: argparse.Namespace, context: Context) -> None:
    """Download the model and say how to use it."""
    run_id = lookup.resolve_run_id(context.client, arguments.what)
    weights: Literal["model", "average"] = "average" if arguments.average else "model"
    folder = context.client.model(run_id, arguments.folder, arguments.step, weights)
    if context.json:
        context.emit({"folder": str(folder)})
    else:
        given = input_arguments(json.loads((folder / "inputs.json").read_text()))
        context.say(f"{folder}  predict: python {folder}/load.py {given}")


def input_arguments(inputs: Mapping[str, Any]) -> str:
    """Return what load.py takes of this model's data."""
    if inputs.get("vocabulary"):
        return "--text 'how a text begins'"
    return "--images a.png b.jpg" if inputs.get("resize") else "rows.json"


def do_predictions(arguments: argparse.Namespace, context: Context) -> None:
    """Download the predictions."""
    run_id = lookup.resolve_run_id(context.client, arguments.what)
    path = context.client.predictions(run_id, arguments.output or Path(f"{run_id}-predictions.parquet"))
    context.emit({"file": str(path)}) if context.json else context.say(f"{path}")


def do_split(arguments: argparse.Namespace, context: Context) -> None:
    """Count the rows of each part, and write which row is in which."""
    if arguments.output is not None and arguments.output.exists():
        raise Unusable(f"{arguments.output} is there already; choose another one")
    found = context.client.split(lookup.resolve_run_id(context.client, arguments.what))
    if context.json:
        context.emit(found)
        return
    parts = {"train": found.train, "validation": found.validation, "test": found.test}
    fold = "" if found.fold is None else f"  fold {found.fold}"
    context.say("  ".join(f"{name} {len(rows)}" for name, rows in parts.items()) + fold)
    if arguments.output is not None:
        try:
            arguments.output.write_text(_split_table(found), encoding="utf-8")
        except OSError as error:
            raise Unusable(f"{arguments.output} cannot be written ({error.strerror})") from None
        context.say(f"{arguments.output}")


def _split_table(found: SplitView) -> str:
    """Return a CSV of row and part, with the upload of each part's own file, or the names of the rows."""
    parts = {"train": found.train, "validation": found.validation, "test": found.test}
    if found.files is not None:
        lines = [[row, name, found.files[name]] for name, rows in parts.items() for row in rows]
        return _csv(["row", "part", "upload"], lines)
    numbered = sorted((row, name) for name, rows in parts.items() for row in rows)
    if found.names is None:
        return _csv(["row", "part"], numbered)
    return _csv(["row", "part", "name"], [(row, part, found.names[row]) for row, part in numbered])


def _csv(head: Sequence[str], lines: Iterable[Sequence[object]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([head, *lines])
    return text.getvalue()


def do_card(arguments: argparse.Namespace, context: Context) -> None:
    """Print the card."""
    text = context.client.model_card(lookup.resolve_run_id(context.client, arguments.what))
    context.emit({"card": text}) if context.json else print(text, end="")
