"""`saddle model | card | predictions`: take a trained model home, print its card, take its predictions home."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Literal

from service.client import lookup
from service.client.commands.context import Commands, Context, command


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
        context.say(f"{folder}  predict: python {folder}/load.py rows.json")


def do_predictions(arguments: argparse.Namespace, context: Context) -> None:
    """Download the predictions."""
    run_id = lookup.resolve_run_id(context.client, arguments.what)
    path = context.client.predictions(run_id, arguments.output or Path(f"{run_id}-predictions.parquet"))
    context.emit({"file": str(path)}) if context.json else context.say(f"{path}")


def do_card(arguments: argparse.Namespace, context: Context) -> None:
    """Print the card."""
    text = context.client.model_card(lookup.resolve_run_id(context.client, arguments.what))
    context.emit({"card": text}) if context.json else print(text, end="")
