"""Series that measure how good a model is: which way is better, and which one a run is ranked by unless told."""

from collections.abc import Collection, Mapping
from typing import Any, Literal

Direction = Literal["min", "max"]  # which way is better
RankedBy = Literal["best", "last"]
Outcome = Literal["value", "diverged", "incomplete", "none"]  # of a run; none: it has not measured the series
RANKED_SERIES = ("val/loss", "val/accuracy", "loss")  # the first that was measured speaks for a run
LOSS_SERIES = ("loss", "val/loss")  # a run whose value of one of these was no finite number has diverged
STANDARD_SERIES = (
    *RANKED_SERIES,
    "lr",
    "test/loss",
    "test/accuracy",
)  # names that are no typing errors even before any run has them


def better_direction(series: str) -> Direction:
    """Return "max" for accuracies and "min" for everything else."""
    return "max" if series.rpartition("/")[2] == "accuracy" else "min"


def default_series(measured: Collection[str]) -> str:
    """Return the series that is ranked by default, of those that at least one run has measured."""
    return next((name for name in RANKED_SERIES if name in measured), "loss")


def is_per_minibatch(series: str) -> bool:
    """Return whether each value is of another minibatch, so that its minimum is the luck of one batch."""
    return series == "loss" or series.partition("/")[0] == "grad_norm"


def default_figure(series: str) -> RankedBy:
    """Return the figure a series is ranked by: its best value, or where it ended if each value is of a minibatch."""
    return "last" if is_per_minibatch(series) else "best"


def trains_on_minibatches(spec: Mapping[str, Any]) -> bool:
    """Return whether a stored spec's loss is measured on another minibatch at each step."""
    return spec.get("batch_size") != "full" and spec.get("dataset", {}).get("kind") != "none"
