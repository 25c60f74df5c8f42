"""`saddle predict`: what a trained model says about a few rows."""

from __future__ import annotations

import argparse
import base64
import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from service.client import lookup
from service.client.commands.context import Commands, Context, command
from service.client.errors import Unusable
from service.client.files import open_upload

IMAGES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp")


def add(commands: Commands) -> None:
    """Declare the command."""
    summary = "predict a few rows with the kept weights of a run"
    parser = command(commands, "predict", do, summary, "saddle predict adam:3 rows.csv")
    parser.add_argument("what", help="a run: its id, or NAME:SEED")
    parser.add_argument(
        "files",
        nargs="+",
        type=Path,
        metavar="FILE",
        help="CSV with the names of the columns, JSON with a list of rows, images, or a text in .txt; "
        "- for JSON on standard input",
    )
    parser.add_argument("--weights", default="last", help="last, best, or the step of a checkpoint (default: last)")
    parser.add_argument("--likelihood", action="store_true", help="of texts: how likely each token is, bits per byte")
    parser.add_argument("--continue", dest="length", type=int, metavar="TOKENS", help="of texts: how they go on")
    parser.add_argument("--temperature", type=float, default=0.8, help="of --continue; 0: the likeliest (default: 0.8)")


def do(arguments: argparse.Namespace, context: Context) -> int:
    """Predict and print; return 1 if the rows could not be predicted."""
    rows = [row for path in arguments.files for row in read_rows(path)]
    weights = int(arguments.weights) if arguments.weights.isdecimal() else arguments.weights
    run = lookup.resolve_run_id(context.client, arguments.what)
    writing = None
    if arguments.length is not None:
        writing = {"length": arguments.length, "temperature": arguments.temperature}
    found = context.client.predict(run, rows, weights, arguments.likelihood, writing)
    if context.json:
        context.emit(found)
    elif found.predictions is None:
        context.warn(found.error or f"the job {found.id} was {found.state.value}")
    else:
        context.say(f"{found.run_id}, step {found.step}", "dim")
        shown = [describe(each) for each in found.predictions]
        head = list(dict.fromkeys(name for each in shown for name in each))
        lines = [[str(at), *(each.get(name, "") for name in head)] for at, each in enumerate(shown)]
        context.table(["row", *head], lines, right=["row", "probability", "value", "deviation"])
    return 0 if found.predictions is not None else 1


def describe(answer: Mapping[str, Any]) -> dict[str, str]:
    """Return the cells of a prediction, by heading."""
    if "class" in answer:
        likely = answer.get("probabilities", {}).get(answer["class"])
        return {"class": str(answer["class"])} | ({} if likely is None else {"probability": _number(likely)})
    if "next" in answer:
        return describe_text(answer)
    return {name: _number(value) for name, value in answer.items()}


def describe_text(answer: Mapping[str, Any]) -> dict[str, str]:
    """Return what a language model says of a text: how likely it is, and how it goes on."""
    cells = {}
    if likely := answer.get("likelihood"):
        cells["log-likelihood"] = _number(likely["log_likelihood"])
        cells["bits per byte"] = "" if likely["bits_per_byte"] is None else _number(likely["bits_per_byte"])
    if written := answer.get("continuation"):
        return cells | {"continuation": repr(written.get("text", written["tokens"]))}
    pairs = (f"{each.get('text', each['token'])!r} {_number(each['probability'])}" for each in answer["next"])
    return cells | {"next": "  ".join(pairs)}


def _number(value: Any) -> str:
    if isinstance(value, list):
        return " ".join(map(_number, value))
    return f"{value:.6g}" if isinstance(value, int | float) else str(value)


def read_rows(path: Path) -> Sequence[Any]:
    """Return the rows of a file; cells of a CSV stay texts, which the server reads by the type of their column."""
    with open_upload(path) as file:
        raw = file.read()
    if path.suffix.lower() in IMAGES:
        return [base64.b64encode(raw).decode()]
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        known = ", ".join(IMAGES)
        raise Unusable(f"{path} is neither an image ({known}) nor UTF-8 text (.csv, .txt or JSON)") from None
    if path.suffix.lower() == ".txt":
        return [text]
    if path.suffix.lower() == ".csv":
        mark = max(",;\t", key=text.partition("\n")[0].count)
        return [_cells(path, row) for row in csv.DictReader(io.StringIO(text), delimiter=mark)]
    try:
        rows = json.loads(text)
    except (json.JSONDecodeError, RecursionError):
        raise Unusable(f"{path} holds no JSON: a list of rows, or name a file .csv") from None
    if not isinstance(rows, list):
        raise Unusable(f"{path} holds no list of rows")
    return rows


def _cells(path: Path, row: Mapping[str | None, Any]) -> dict[str, str | None]:
    """Return a row by column, None where a cell is empty."""
    if None in row or None in row.values():
        raise Unusable(f"{path} has a row with more or fewer cells than its first line has names")
    return {str(name): cell or None for name, cell in row.items()}
