"""Runs as they are sent."""

from collections.abc import Sequence

from service.analysis.result import diverged
from service.db.metrics import read
from service.db.metrics.read import SeriesSummary
from service.db.runs import positions
from service.db.runs.positions import QueuePosition
from service.db.runs.runs import StoredRun
from service.db.session import Connection
from service.lifecycle import State, displayed
from service.schemas.runs import PlaceView, RunView, SummaryView


def run_view(run: StoredRun, summaries: Sequence[SeriesSummary] = (), place: QueuePosition | None = None) -> RunView:
    """Return a run with the summaries of its series and, where known, its place in the queue."""
    return RunView.of(
        run,
        desired=run.desired.value,
        displayed=displayed(run.state, run.desired),
        waiting=place and PlaceView(before=place.before, reason=place.reason),
        diverged=diverged(run, {summary.name: summary for summary in summaries}),
        progress=_progress(run),
        series={summary.name: SummaryView.of(summary) for summary in summaries},
    )


def _progress(run: StoredRun) -> float:
    """Return 0 to 1; a probe job trains no step, so it is 0 or 1."""
    if run.task is not None:
        return float(run.state is State.SUCCEEDED)
    return min(run.step / run.total_steps, 1.0) if run.total_steps else 0.0


def read_runs(connection: Connection, runs: Sequence[StoredRun], with_places: bool = True) -> list[RunView]:
    """Return runs with their series and, unless `with_places` is false, where the waiting ones are in the queue."""
    waiting = [run.id for run in runs if with_places and run.state is State.QUEUED]
    places = positions.positions(connection, waiting) if waiting else {}
    summaries = read.summaries(connection, [run.id for run in runs])
    return [run_view(run, summaries[run.id], places.get(run.id)) for run in runs]


def read_run(connection: Connection, run: StoredRun) -> RunView:
    """Return one run with its series and its place in the queue."""
    (view,) = read_runs(connection, [run])
    return view
