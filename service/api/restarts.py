"""What the seeds of one experiment came to, told with it once they have ended."""

import math
from collections.abc import Sequence

from service.analysis.restarts import restarts
from service.api.views import RestartsView, RestartView, RunView
from service.lifecycle import State

ENDED = (State.SUCCEEDED, State.FAILED)  # a cancelled run tells nothing


def restarts_of(runs: Sequence[RunView]) -> RestartsView | None:
    """Of val/loss, or of loss where no run has that; None until a second run has ended."""
    ended = [run for run in runs if run.state in ENDED]
    if len(ended) < 2:
        return None
    name = "val/loss" if any("val/loss" in run.series for run in ended) else "loss"
    values = [RestartView(run=run.id, seed=run.seed, value=_final(run, name)) for run in ended]
    found = restarts([math.nan if each.value is None else each.value for each in values])
    return RestartsView(series=name, values=values, **found.__dict__)


def _final(run: RunView, name: str) -> float | None:
    """A failed run's last value is not what it would have come to."""
    return run.series[name].last if run.state is State.SUCCEEDED and name in run.series else None
