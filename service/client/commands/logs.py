"""`saddle logs`: what the worker said of a run, and what the training itself wrote."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from service.client import lookup
from service.client.commands.context import INTERRUPTED, Commands, Context, command
from service.client.errors import Unusable
from service.client.following import poll

if TYPE_CHECKING:
    from service.schemas.runs import LogLineView

EVERY_S = 1.0  # between two looks for new lines
COLOURS = {"warning": "yellow", "error": "red"}


def add(commands: Commands) -> None:
    """Declare the command."""
    summary = "show the log of a run: its worker's lines, and (after >) what the training itself wrote"
    parser = command(commands, "logs", do, summary, "saddle logs latest --follow")
    parser.add_argument("what", help="a run: its id, the end of it, NAME:SEED, or an experiment of one run")
    parser.add_argument("--follow", "-f", action="store_true", help="show new lines until the run ends")


def do(arguments: argparse.Namespace, context: Context) -> int:
    """Show the lines that there are; with --follow also those to come. Ctrl-C leaves the run alone."""
    run_ids = lookup.resolve_run_ids(context.client, arguments.what)
    if len(run_ids) > 1:
        raise Unusable(f"{arguments.what} has {len(run_ids)} runs: name one, as NAME:SEED or by its id")
    reader = _Reader(context, run_ids[0])
    try:
        if not arguments.follow:
            reader.show_new()
        else:
            for _ in poll(reader.show_new, bool, EVERY_S):
                pass
    except KeyboardInterrupt:
        return INTERRUPTED
    return 0


class _Reader:
    """Shows each line of a run once."""

    def __init__(self, context: Context, run_id: str) -> None:
        self._context, self._run_id = context, run_id
        self._place: str | None = None

    def show_new(self) -> bool:
        """Show the lines since the last call; return whether the run had ended before they were read."""
        over = self._context.client.run(self._run_id).over
        for line in self._context.client.log(self._run_id, self._place):
            self._show(line)
            self._place = f"{line.attempt}.{line.number}"
        return over

    def _show(self, line: LogLineView) -> None:
        if self._context.json:
            self._context.emit_line(line)
            return
        mark = "> " if line.source == "output" else ""
        self._context.say(
            f"{line.at.astimezone():%H:%M:%S} [{line.attempt}] {mark}{line.text}", COLOURS.get(line.level)
        )
