"""`saddle checkpoints`: list a run's checkpoints, or download one."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from service.client import lookup
from service.client.commands.context import Commands, Context, command
from service.client.formatting import age, size
from service.client.table import Row

if TYPE_CHECKING:
    from service.schemas.checkpoints import CheckpointView


def add(commands: Commands) -> None:
    """Declare the command."""
    example = "saddle checkpoints adam:3 --download 900 --output weights"
    parser = command(commands, "checkpoints", do, "list the checkpoints of a run, or download one as a folder", example)
    parser.add_argument("what", help="a run: its id, or NAME:SEED")
    parser.add_argument("--download", type=int, metavar="STEP", help="download the one of this step")
    parser.add_argument("--output", "-o", type=Path, metavar="FOLDER", help="a new folder (default RUN-step-STEP)")


def do(arguments: argparse.Namespace, context: Context) -> None:
    """List the checkpoints, or download one."""
    client = context.client
    run_id = lookup.resolve_run_id(client, arguments.what)
    if arguments.download is not None:
        target = arguments.output or Path(f"{run_id}-step-{arguments.download}")
        folder = client.download(run_id, arguments.download, target)
        context.emit({"folder": str(folder)}) if context.json else context.say(f"{folder}")
        return
    found = client.checkpoints(run_id)
    rows: list[Row] = [
        [each.step, each.attempt, each.reason, each.value, _state(each), age(each.created_at)] for each in found
    ]
    context.show(found, ["step", "attempt", "why", "value", "files", "age"], rows, ["step", "attempt"])


def _state(checkpoint: CheckpointView) -> str:
    if checkpoint.damaged:
        return "damaged"
    return size(checkpoint.size_bytes) if checkpoint.kept is not False else "removed"
