"""`saddle upload`: store a file to train on."""

import argparse
from typing import Any

from service.client import answers
from service.client.commands.context import Commands, Context, command

NAMED = {  # files that are no rows, and where a spec names one
    "safetensors": '"start": {{"upload": "{id}"}}',
    "tokenizer": '"tokens": {{"kind": "file", "upload": "{id}"}} in its dataset (text or token_files)',
}
COLUMNS = ["name", "type", "missing", "min", "max", "mean"]
SHOWN = 20  # columns of a table, or tensors of weights


def add(commands: Commands) -> None:
    """Declare the command."""
    parser = command(commands, "upload", do, "store a file to train on", "saddle upload measurements.csv")
    parser.add_argument(
        "file", help="CSV, JSON, Parquet, NPZ, text, a zip of images, safetensors, tokenizer.json; - for standard input"
    )
    parser.add_argument("--name", help="its name (default: the file's name)")
    formats = ("csv", "parquet", "npz", "jsonl", "json", "text", "images", "safetensors", "tokenizer")
    parser.add_argument("--format", choices=formats, help="default: detected")
    parser.add_argument(
        "--header",
        action=argparse.BooleanOptionalAction,
        help="of a CSV: whether its first line names the columns (default: detected)",
    )


def do(arguments: argparse.Namespace, context: Context) -> None:
    """Upload a file, and print what the server found in it."""
    made = context.client.upload(arguments.file, arguments.name, arguments.format, arguments.header)
    if context.json:
        context.emit(made)
        return
    rows = f"{made.rows} rows, " if made.rows else ""
    context.say(f"{made.id}  {made.name}: {made.format}, {rows}{made.size_bytes} bytes")
    report = answers.raw(made)["report"]
    columns = report.get("columns") or []
    if columns:
        keys = ["name", "type", "shape"] if made.format == "safetensors" else COLUMNS
        context.table(keys, [[_cell(each, key) for key in keys] for each in columns[:SHOWN]])
    if len(columns) > SHOWN:
        context.say(f"{len(columns) - SHOWN} more: saddle upload --json lists all.", "dim")
    for note in report.get("notes") or ():
        context.say(note)
    of_images = made.format == "images" or any(each.get("holds") == "image" for each in columns)
    if made.format in NAMED:
        context.say(f"name it in a spec with: {NAMED[made.format].format(id=made.id)}", "dim")
        return
    kind = '"kind": "upload", "predict": ..., "task": ...'
    if of_images or made.format == "text":
        kind = '"kind": "images"' if of_images else '"kind": "text"'
    context.say(f'train on it with: "dataset": {{"upload": "{made.id}", {kind}}}', "dim")


def _cell(column: dict[str, Any], key: str) -> str:
    """Return a figure of a column; what is neither numbers nor texts is called by what it holds."""
    value = column.get("holds") if key == "type" and column.get("type") == "other" else column.get(key)
    return "-" if value is None else str(value)
