"""`saddle upload`: a file of one's own to train on."""

import argparse

from service.client.commands.context import Commands, Context, command


def add(commands: Commands) -> None:
    """Declare it."""
    parser = command(commands, "upload", do, "store a file to train on", "saddle upload measurements.csv")
    parser.add_argument("file", help="CSV, JSON lines, Parquet, NPZ or text; - for standard input")
    parser.add_argument("--name", help="what it is called (default: the file's name)")
    parser.add_argument("--format", choices=("csv", "parquet", "npz", "jsonl", "text"), help="default: found out")


def do(asked: argparse.Namespace, context: Context) -> int:
    """Send it, and say what the server found in it."""
    made = context.client.upload(asked.file, asked.name, asked.format)
    if context.json:
        context.emit(made.raw)
        return 0
    context.say(f"{made.id}  {made.name}: {made.format}, {made.rows} rows, {made.size_bytes} bytes")
    columns = made.report.get("columns") or []
    if columns:
        keys = [key for key, value in columns[0].items() if not isinstance(value, dict | list)][:6]
        context.table(keys, [["-" if each.get(key) is None else str(each[key]) for key in keys] for each in columns])
    context.say(f'train on it with: "dataset": {{"kind": "upload", "dataset_id": "{made.id}", "predict": ...}}', "dim")
    return 0
