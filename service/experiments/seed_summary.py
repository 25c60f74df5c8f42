"""The final values of an experiment's seeds: best, quartiles, and the expected best of k restarts."""

import math
from collections.abc import Sequence

from service.analysis.aggregate import aggregate
from service.analysis.result import run_result
from service.analysis.tuning import expected_best
from service.lifecycle import TERMINAL
from service.schemas.experiments import RestartsView, RestartView
from service.schemas.runs import RunView
from service.spec.measures import better_direction, default_series


def restarts_view(runs: Sequence[RunView]) -> RestartsView | None:
    """Return the last values of the series that is ranked by default; None until two runs have ended."""
    ended = [run for run in runs if run.state in TERMINAL]
    if len(ended) < 2:
        return None
    name = default_series({series for run in runs for series, found in run.series.items() if found.n})
    results = [(run, run_result(run, run.series, name, "last")) for run in ended]
    measured = [(run, result) for run, result in results if result.outcome != "none"]
    counted = [result.value for _, result in measured if result.outcome != "incomplete"]
    values = [value for value in counted if value is not None]
    figures, direction = aggregate([math.nan if value is None else value for value in counted]), better_direction(name)
    return RestartsView(
        series=name,
        n=figures.n,
        diverged=figures.diverged,
        incomplete=len(measured) - len(counted),
        best=figures.min if direction == "min" else figures.max,
        median=figures.median,
        quartiles=None if figures.q1 is None or figures.q3 is None else (figures.q1, figures.q3),
        expected_best=tuple(expected_best(values, direction)),
        values=[
            RestartView(run=run.id, seed=run.seed, value=each.value, outcome=each.outcome) for run, each in measured
        ],
    )
