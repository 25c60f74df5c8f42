"""`saddle upload`: store a file to train on."""

import argparse

from service.client import answers
from service.client.commands.context import Commands, Context, command


def add(commands: Commands) -> None:
    """Declare the command."""
    parser = command(commands, "upload", do, "store a file to train on", "saddle upload measurements.csv")
    parser.add_argument("file", help="CSV, JSON, Parquet, NPZ, text or a zip archive of images; - for standard input")
    parser.add_argument("--name", help="its name (default: the file's name)")
    formats = ("csv", "parquet", "npz", "jsonl", "json", "text", "images")
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
    context.say(f"{made.id}  {made.name}: {made.format}, {made.rows} rows, {made.size_bytes} bytes")
    report = answers.raw(made)["report"]
    columns = report.get("columns") or []
    if columns:
        keys = ["name", "type", "missing", "min", "max", "mean"]
        context.table(keys, [["-" if each.get(key) is None else str(each[key]) for key in keys] for each in columns])
    for note in report.get("notes") or ():
        context.say(note)
    of_images = made.format == "images" or any(each.get("holds") == "image" for each in columns)
    kind = '"kind": "upload", "predict": ..., "task": ...'
    if of_images or made.format == "text":
        kind = '"kind": "images"' if of_images else '"kind": "text"'
    context.say(f'train on it with: "dataset": {{"upload": "{made.id}", {kind}}}', "dim")
