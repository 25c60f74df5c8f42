"""Series that measure how good a model is: which direction is better, and which one ranks a run by default."""

from collections.abc import Collection, Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from service.spec.metrics import Direction as Direction
from service.spec.metrics import metric_direction

RankedBy = Literal["best", "last"]
Outcome = Literal["value", "diverged", "incomplete", "none"]  # of a run; none: the series was not measured
SeriesName = Annotated[
    str,
    Field(min_length=1, max_length=100, description="series of an evaluation: val/loss, or val/ and a metric's name"),
]
RANKED_SERIES = ("val/loss", "val/accuracy", "loss")  # the first that was measured ranks a run
PARTS = ("train", "val", "test")  # of the data, in the names of series
DATA_WAIT = "system/data_wait"  # share of the time that updates waited for their batches
LOSS_SERIES = ("loss", "val/loss")  # a run with a non-finite value of one of these has diverged
STANDARD_SERIES = (
    *RANKED_SERIES,
    "lr",
    "test/loss",
    "test/accuracy",
    "val/bits_per_byte",
    "test/bits_per_byte",
)  # names that are no typing errors even before any run has them


def better_direction(series: str) -> Direction:
    """Return the direction of a metric on a part of the data, "max" for accuracies and "min" for everything else."""
    if found := _direction_of_metric(series):
        return found
    return "max" if series.rpartition("/")[2] == "accuracy" else "min"


def has_scale_of_loss(series: str) -> bool:
    """Return whether values of another loss, or of a target scaled otherwise, cannot be compared with these."""
    if series.endswith("/bits_per_byte"):  # whatever the tokens
        return False
    return _direction_of_metric(series) is None and better_direction(series) == "min"


def _direction_of_metric(series: str) -> Direction | None:
    part, _, name = series.removeprefix("average/").partition("/")
    return metric_direction(name) if part in PARTS else None


def default_series(measured: Collection[str]) -> str:
    """Return the default series for ranking, of those that at least one run has measured."""
    return next((name for name in RANKED_SERIES if name in measured), "loss")


def is_per_minibatch(series: str) -> bool:
    """Return whether each value is of another minibatch, so that the minimum is only one lucky batch."""
    return series == "loss" or series.partition("/")[0] == "grad_norm"


def default_figure(series: str) -> RankedBy:
    """Return the figure that ranks a series: its best value, or its last if each value is of another minibatch."""
    return "last" if is_per_minibatch(series) else "best"


def trains_on_minibatches(spec: Mapping[str, Any]) -> bool:
    """Return whether a stored spec trains each step on another minibatch."""
    return spec.get("batch_size") != "full" and spec.get("dataset", {}).get("kind") != "none"
