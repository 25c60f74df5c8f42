"""The result of a run: the one definition behind lists, comparisons, restarts and diagnoses.

A run that diverged, failed or was cancelled has no value, because it did not finish. One that has not ended has its
present value, which is provisional. An experiment's value is the mean over its counting runs
that have one. `service.db.metrics.results` is the same in SQL, for sorting lists; a test compares the two.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any, Literal, Protocol

from service.lifecycle import TERMINAL, State
from service.spec.measures import LOSS_SERIES, Outcome, better_direction

FigureName = Literal["best", "last", "min", "max"]
STRETCH_SHARE = 20  # the final stretch is 1 / this of the trained steps,
STRETCH_LEAST = 10  # at least this many steps,
STRETCH_MOST = 1000  # at most this many,
STRETCH_LIMIT = 5  # and never more than 1 / this of the steps


class Ended(Protocol):
    """What the result needs to know of a run."""

    @property
    def state(self) -> State:
        """Where the run is in its life."""

    @property
    def failure(self) -> Mapping[str, Any] | None:
        """Why it failed: its `code`."""


class Measured(Protocol):
    """What the result needs to know of a series: its summary."""

    @property
    def n(self) -> int:
        """The number of values."""

    @property
    def last(self) -> float | None:
        """The last value."""

    @property
    def final(self) -> float | None:
        """The mean over the final stretch of a series with one value per minibatch; None: the last value counts."""

    @property
    def min(self) -> float | None:
        """The least finite value."""

    @property
    def max(self) -> float | None:
        """The greatest finite value."""

    @property
    def nonfinite(self) -> int:
        """The number of values that are not finite."""


@dataclass(frozen=True)
class RunResult:
    """One figure of one series of a run."""

    outcome: Outcome  # none: it has not measured the series
    value: float | None  # finite where the outcome is "value"
    provisional: bool  # the run has not ended


def final_stretch(last_step: int) -> int:
    """Return the first step of the final stretch of a run that came to `last_step`.

    Five percent of the steps: short enough that a schedule's last decay is nearly over. Ten steps at least, so that
    the noise of minibatches falls by three; a fifth of the run at most, so that a short one is not judged by its
    beginning; a thousand steps at most, so that few chunks are read.
    """
    width = min(max(last_step // STRETCH_SHARE, STRETCH_LEAST), STRETCH_MOST, last_step // STRETCH_LIMIT)
    return last_step - max(width, 1) + 1


def diverged(run: Ended, series: Mapping[str, Measured]) -> bool:
    """Return whether the run failed as diverged, or continued after a non-finite loss."""
    if run.failure is not None and run.failure.get("code") == "diverged":
        return True
    return any(name in series and series[name].nonfinite for name in LOSS_SERIES)


def incomplete(run: Ended) -> bool:
    """Return whether the run failed or was cancelled."""
    return run.state in (State.FAILED, State.CANCELLED)


def run_result(run: Ended, series: Mapping[str, Measured], name: str, figure: FigureName) -> RunResult:
    """Return one figure of a run's series `name`."""
    provisional = run.state not in TERMINAL
    if diverged(run, series):
        return RunResult("diverged", None, provisional)
    if incomplete(run):
        return RunResult("incomplete", None, provisional=False)
    found = series.get(name)
    if found is None or not found.n:
        return RunResult("none", None, provisional)
    value = _figure(found, name, figure)
    if value is None or not isfinite(value):
        return RunResult("diverged", None, provisional)
    return RunResult("value", value, provisional)


def _figure(found: Measured, name: str, figure: FigureName) -> float | None:
    if figure == "last":
        return found.last if found.final is None else found.final
    side = better_direction(name) if figure == "best" else figure
    return found.min if side == "min" else found.max
