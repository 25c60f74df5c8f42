"""The route of a run's curves: exact where they fit, else in buckets that keep every extreme."""

import math
from collections.abc import Sequence
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import Field

from service.analysis.reduce import Reduced, level_for, reduce
from service.api.deps import ConnectionDep, PrincipalDep, RunId
from service.api.views import Number, View
from service.db import experiments, metrics, runs
from service.db.metrics import Curve, Summary
from service.errors import Invalid, NotFound, Problem
from service.nonfinite import dumps
from service.spec.experiment import Experiment

router = APIRouter(prefix="/v1/runs", tags=["runs"])
LAST = 2**62
Axis = Literal["step", "epoch"]
Points = Annotated[int, Query(ge=1, le=10_000)] | Literal["all"]


class SeriesView(View):
    """Columns of one series. Exact: `step`, `value`. Reduced: one entry per bucket; min, max, mean of the finite."""

    epoch: list[float] | None = Field(None, description="of each step, or of each bucket's last one; with x=epoch")
    step: list[int] | None = None
    value: list[Number] | None = None
    first_step: list[int] | None = None
    last_step: list[int] | None = None
    min: list[Number | None] | None = None
    max: list[Number | None] | None = None
    mean: list[Number | None] | None = None
    last: list[Number] | None = Field(None, description="exactly the last value, finite or not")
    count: list[int] | None = None
    nonfinite: list[int] | None = None


class Reduction(View):
    """How the curves were reduced."""

    method: Literal["none", "buckets"]
    bucket_steps: int = Field(description="steps a bucket spans, counted from step 0; 1: the exact points")
    points: int = Field(description="entries of the longest series")


class RunSeries(View):
    """Curves of one run."""

    run_id: str
    x: Axis
    series: dict[str, SeriesView]
    reduction: Reduction


@router.get("/{run_id}/series", operation_id="get_series", response_model_exclude_none=True)
def get_series(
    run_id: RunId,
    principal: PrincipalDep,
    connection: ConnectionDep,
    names: Annotated[str | None, Query(max_length=4096, description="comma-separated; without it, all")] = None,
    x: Annotated[Axis, Query(description="the unit of from and to, and whether epochs are added")] = "step",
    first: Annotated[float | None, Query(alias="from", ge=0, allow_inf_nan=False)] = None,
    last: Annotated[float | None, Query(alias="to", ge=0, allow_inf_nan=False)] = None,
    points: Annotated[Points, Query(description="most points of a series; all: the exact series")] = 1000,
) -> RunSeries:
    """The visible points of a run between `from` and `to`, both included."""
    run = runs.get(connection, principal, run_id)
    per_epoch = 1 if x == "step" else steps_per_epoch(experiments.get(connection, principal, run.experiment_id).spec)
    low, high = window(first, last, per_epoch)
    chosen = choose(metrics.summaries(connection, [run_id])[run_id], names)
    curves = metrics.read(connection, run_id, chosen, low, high)
    bucket_steps = 1 if points == "all" else _bucket_steps(list(curves.values()), points)
    epochs = per_epoch if x == "epoch" else None
    views = {name: _view(curves.get(name), bucket_steps, epochs) for name in chosen}
    longest = max((len(view.step or view.first_step or ()) for view in views.values()), default=0)
    method: Literal["none", "buckets"] = "none" if bucket_steps == 1 else "buckets"
    reduction = Reduction(method=method, bucket_steps=bucket_steps, points=longest)
    return RunSeries(run_id=run_id, x=x, series=views, reduction=reduction)


def steps_per_epoch(spec: dict[str, object]) -> int:
    """Of a stored spec."""
    return Experiment.model_validate_json(dumps(spec)).steps_per_epoch


def window(first: float | None, last: float | None, per_epoch: int) -> tuple[int, int]:
    """The steps within `first` and `last`, given in epochs of `per_epoch` steps."""
    if first is not None and last is not None and first > last:
        raise Invalid.of([Problem("/query/from", "empty_window", "from lies behind to: swap them.")])
    low = 0 if first is None else min(math.ceil(first * per_epoch), LAST)
    return low, LAST if last is None else min(math.floor(last * per_epoch), LAST)


def choose(known: Sequence[Summary], names: str | None) -> list[str]:
    """The series asked for, or `NotFound` with those that there are."""
    there = [summary.name for summary in known]
    if names is None:
        return there
    chosen = list(dict.fromkeys(name.strip() for name in names.split(",")))
    if any(name not in there for name in chosen):
        listed = ", ".join(there[:50]) or "none yet"
        raise NotFound(f"The run has no such series; it has: {listed}.")
    return chosen


def _bucket_steps(curves: Sequence[Curve], points: int) -> int:
    """One bucket width for all curves of an answer: 1 where the longest fits."""
    filled = [curve for curve in curves if len(curve.steps)]
    if all(len(curve.steps) <= points for curve in filled):
        return 1
    first, last = min(int(c.steps[0]) for c in filled), max(int(c.steps[-1]) for c in filled)
    return int(2 ** level_for(first, last, points))


def _view(curve: Curve | None, bucket_steps: int, per_epoch: int | None) -> SeriesView:
    if bucket_steps == 1 or curve is None or not len(curve.steps):
        steps: list[int] = curve.steps.tolist() if curve else []
        values: list[float] = curve.values.tolist() if curve else []
        return SeriesView(step=steps, value=values, epoch=_epochs(steps, per_epoch))
    return _buckets(reduce_to(curve, bucket_steps), per_epoch)


def reduce_to(curve: Curve, bucket_steps: int) -> Reduced:
    """The curve in buckets of this width, a power of two."""
    first, last = int(curve.steps[0]), int(curve.steps[-1])
    return reduce(curve.steps, curve.values, last // bucket_steps - first // bucket_steps + 1, first, last)


def _buckets(reduced: Reduced, per_epoch: int | None) -> SeriesView:
    last_step = reduced.last_step.tolist()
    return SeriesView(
        epoch=_epochs(last_step, per_epoch),
        first_step=reduced.first_step.tolist(),
        last_step=last_step,
        min=_or_null(reduced.min.tolist()),
        max=_or_null(reduced.max.tolist()),
        mean=_or_null(reduced.mean.tolist()),
        last=reduced.last.tolist(),
        count=reduced.count.tolist(),
        nonfinite=reduced.nonfinite.tolist(),
    )


def _epochs(steps: Sequence[int], per_epoch: int | None) -> list[float] | None:
    return [step / per_epoch for step in steps] if per_epoch else None


def _or_null(values: Sequence[float]) -> list[float | None]:
    """Null where there is nothing finite to take a minimum, maximum or mean of."""
    return [None if math.isnan(value) else value for value in values]
