"""`saddle checkpoints`: the kept states of a run, and the weights at one step as a file."""

import argparse
from pathlib import Path

from service.client import naming
from service.client.commands.context import Commands, Context, command
from service.client.commands.shown import age
from service.client.errors import Unusable
from service.client.table import Row, number


def add(commands: Commands) -> None:
    """Declare it."""
    example = "saddle checkpoints adam:3 --download 500 --output adam-500.safetensors"
    parser = command(commands, "checkpoints", do, "the kept states of a run, or one of them as a file", example)
    parser.add_argument("what", help="a run: its id, or NAME:SEED")
    parser.add_argument("--download", type=int, metavar="STEP", help="fetch the one of this step")
    parser.add_argument("--output", "-o", type=Path, metavar="FILE", help="where to (default RUN-STEP.safetensors)")


def do(asked: argparse.Namespace, context: Context) -> int:
    """List them, or fetch one."""
    client = context.client
    run_id = naming.run_id(client, asked.what)
    if asked.download is not None:
        target = asked.output or Path(f"{run_id}-{asked.download}.safetensors")
        if target.exists():
            raise Unusable(f"{target} is there already; choose another --output")
        client.download(run_id, asked.download, target)
        context.emit({"file": str(target)}) if context.json else context.say(f"{target}")
        return 0
    found = client.checkpoints(run_id)
    if context.json:
        context.emit([each.raw for each in found])
    else:
        rows: list[Row] = [
            [each.step, each.attempt, each.reason, number(each.value), age(each.created_at)] for each in found
        ]
        context.table(["step", "attempt", "why", "value", "age"], rows, ["step", "attempt"])
    return 0
