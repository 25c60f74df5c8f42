"""Runs and numbers in few words, the same in every command."""

from collections import Counter
from collections.abc import Iterable, Sequence

from service.client.commands.context import Context
from service.client.table import Cell, Row, number
from service.client.views import Experiment, Run

COLOURS = {
    "succeeded": "green",
    "running": "cyan",
    "failed": "red",
    "cancelled": "yellow",
    "paused": "magenta",
    "queued": "dim",
}
FIRST = ("loss", "val/loss", "val/accuracy", "lr")


def state(text: str, base: str | None = None) -> Cell:
    """A state in its colour."""
    return Cell(text, COLOURS.get(base or text))


def counted(states: Iterable[str]) -> str:
    """5 succeeded, 1 failed."""
    return ", ".join(f"{count} {name}" for name, count in Counter(states).items())


def series_shown(runs: Sequence[Run], most: int = 4) -> list[str]:
    """The series that a table of runs has columns for."""
    there = {name for run in runs for name in run.series}
    return [name for name in FIRST if name in there][:most]


def run_rows(runs: Sequence[Run], names: Sequence[str]) -> list[Row]:
    """A row for each run, with its last values."""
    return [
        [
            run.id,
            run.seed,
            state(run.displayed or run.state, run.state),
            f"{run.step}/{run.total_steps}",
            *(number(run.series[name].last) if name in run.series else "-" for name in names),
        ]
        for run in runs
    ]


def show_runs(context: Context, runs: Sequence[Run]) -> None:
    """A table of runs, and why those that failed did."""
    names = series_shown(runs)
    context.table(["run", "seed", "state", "step", *names], run_rows(runs, names), ["seed", "step", *names])
    for run in runs:
        if run.failure:
            context.say(f"seed {run.seed}: {failure(run)}", "red")


def failure(run: Run) -> str:
    """Why a run failed, in a sentence."""
    told = run.failure or {}
    return f"{told.get('code', 'failed')}: {told.get('detail', '')}"


def show_warnings(context: Context, experiment: Experiment) -> None:
    """What is allowed and probably not meant."""
    for each in experiment.warnings:
        context.say(f"note  {each.get('pointer') or ''}: {each.get('detail', '')}", "yellow")
