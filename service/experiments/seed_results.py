"""What the seeds of one experiment came to, told with it once they have ended."""

import math
from collections.abc import Sequence

from service.analysis.restarts import restarts
from service.analysis.result import run_result
from service.lifecycle import TERMINAL
from service.schemas.experiments import RestartsView, RestartView
from service.schemas.runs import RunView
from service.spec.measures import better_direction, default_series


def restarts_of(runs: Sequence[RunView]) -> RestartsView | None:
    """Return what the last values of the series that is ranked by default came to; None until two runs have ended."""
    ended = [run for run in runs if run.state in TERMINAL]
    if len(ended) < 2:
        return None
    name = default_series({series for run in runs for series, found in run.series.items() if found.n})
    results = [run_result(run, run.series, name, "last") for run in ended]
    told = [(run, found) for run, found in zip(ended, results, strict=True) if found.outcome != "none"]
    counted = [math.nan if found.value is None else found.value for _, found in told if found.outcome != "incomplete"]
    return RestartsView(
        series=name,
        incomplete=len(told) - len(counted),
        values=[
            RestartView(run=run.id, seed=run.seed, value=found.value, outcome=found.outcome) for run, found in told
        ],
        **restarts(counted, better_direction(name)).__dict__,
    )
