"""`saddle checkpoints`: the kept states of a run, and the weights at one step, taken home."""

import argparse
from pathlib import Path

from service.client import naming
from service.client.commands.context import Commands, Context, command
from service.client.durations import age
from service.client.table import Row, number
from service.client.views import Checkpoint


def add(commands: Commands) -> None:
    """Declare it."""
    example = "saddle checkpoints adam:3 --download 900 --output weights"
    parser = command(commands, "checkpoints", do, "the kept states of a run, or one of them as a folder", example)
    parser.add_argument("what", help="a run: its id, or NAME:SEED")
    parser.add_argument("--download", type=int, metavar="STEP", help="fetch the one of this step")
    parser.add_argument("--output", "-o", type=Path, metavar="FOLDER", help="a new one (default RUN-step-STEP)")


def do(asked: argparse.Namespace, context: Context) -> int:
    """List them, or fetch one."""
    client = context.client
    run_id = naming.run_id(client, asked.what)
    if asked.download is not None:
        folder = client.download(run_id, asked.download, asked.output or Path(f"{run_id}-step-{asked.download}"))
        context.emit({"folder": str(folder)}) if context.json else context.say(f"{folder}")
        return 0
    found = client.checkpoints(run_id)
    if context.json:
        context.emit([each.raw for each in found])
    else:
        rows: list[Row] = [
            [each.step, each.attempt, each.reason, number(each.value), _state(each), age(each.created_at)]
            for each in found
        ]
        context.table(["step", "attempt", "why", "value", "files", "age"], rows, ["step", "attempt"])
    return 0


def _state(checkpoint: Checkpoint) -> str:
    if checkpoint.damaged:
        return "damaged"
    return f"{(checkpoint.size_bytes or 0) / 2**20:.1f} MiB" if checkpoint.kept else "removed"
