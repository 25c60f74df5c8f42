"""Runs and experiments in a few words, the same in every command."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from service.client.formatting import number
from service.client.table import Cell, Row

if TYPE_CHECKING:
    from service.client.commands.context import Context
    from service.schemas.problems import ProblemItem
    from service.schemas.runs import RunView

COLOURS = {
    "succeeded": "green",
    "running": "cyan",
    "failed": "red",
    "cancelled": "yellow",
    "paused": "magenta",
    "queued": "dim",
}
SERIES = ("loss", "val/loss", "val/accuracy", "lr")  # the ones that are shown


def coloured_state(text: str, state: str | None = None) -> Cell:
    """Return a text in the colour of a state, by default its own."""
    return Cell(text, COLOURS.get(state or text))


def count_states(runs: Sequence[RunView]) -> str:
    """Return `5 succeeded, 1 failed`."""
    return ", ".join(f"{count} {state}" for state, count in Counter(run.state for run in runs).items())


def series_columns(runs: Sequence[RunView]) -> list[str]:
    """Return the series that a table of these runs has columns for."""
    known = {name for run in runs for name in run.series}
    return [name for name in SERIES if name in known]


def seed_of(run: RunView) -> str:
    """Return the seed of a run, and the fold that it validates on where there are folds."""
    return str(run.seed) if run.fold is None else f"{run.seed} (fold {run.fold})"


def run_rows(runs: Sequence[RunView], names: Sequence[str]) -> list[Row]:
    """Return a row for each run, with its last values."""
    return [
        [
            run.id,
            seed_of(run),
            coloured_state(run.displayed or run.state, run.state),
            f"{run.step}/{run.total_steps}",
            *(number(run.series[name].last) if name in run.series else "-" for name in names),
        ]
        for run in runs
    ]


def show_runs(context: Context, runs: Sequence[RunView]) -> None:
    """Print a table of runs, and why those that failed did."""
    names = series_columns(runs)
    context.table(["run", "seed", "state", "step", *names], run_rows(runs, names), ["seed", "step", *names])
    for run in runs:
        if run.failure:
            context.say(f"seed {run.seed}: {failure(run)}", "red")


def failure(run: RunView) -> str:
    """Return why a run failed, in a sentence."""
    found = run.failure or {}
    return f"{found.get('code', 'failed')}: {found.get('detail', '')}"


def show_warnings(context: Context, warnings: Sequence[ProblemItem]) -> None:
    """Print what is allowed and probably not meant."""
    for each in warnings:
        context.say(f"note  {each.pointer or ''}: {each.detail or ''}", "yellow")
