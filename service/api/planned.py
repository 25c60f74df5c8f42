"""Routes that lay something beside a run's curves: the planned rate, and what superseded attempts had computed."""

from collections.abc import Sequence
from math import isclose, isnan
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import Field

from service.analysis.reduce import reduce
from service.api.deps import ConnectionDep, PrincipalDep, RunId
from service.api.views import Number, View
from service.db import experiments, metrics, runs, superseded
from service.db.metrics import Summary
from service.nonfinite import dumps
from service.spec.experiment import Experiment

router = APIRouter(prefix="/v1/runs", tags=["runs"])
Points = Annotated[int, Query(ge=2, le=10_000, description="most points of a curve")]
CLOSE = 1e-6  # relative: applied rates may be stored as float32


class Applied(View):
    """One exact comparison."""

    step: int
    planned: float
    applied: Number


class PlannedView(View):
    """The rate that the spec plans, and whether the applied one was it."""

    steps: list[int]
    rates: list[float]
    watches: str = Field(description="the series that lowers the rate while it trains; empty: the step alone decides")
    checked: list[Applied] = Field(description="at the last step and at the extremes of the applied rate")
    deviates: bool | None = Field(description="null: nothing to compare yet, or the plan may change while it trains")


@router.get("/{run_id}/planned", operation_id="get_planned_rate")
def get_planned_rate(
    run_id: RunId, principal: PrincipalDep, connection: ConnectionDep, points: Points = 300
) -> PlannedView:
    """The planned rate at evenly spread steps, the first and the last among them, beside what was applied."""
    run = runs.get(connection, principal, run_id)
    stored = experiments.get(connection, principal, run.experiment_id)
    spec = Experiment.model_validate_json(dumps(stored.spec))
    total = run.total_steps
    count = min(points, total)
    steps = [1 + round(i * (total - 1) / max(count - 1, 1)) for i in range(count)]
    summaries = {each.name: each for each in metrics.summaries(connection, [run.id])[run.id]}
    checked = _checked(spec, summaries.get("lr"))
    pure = spec.schedule.pure
    return PlannedView(
        steps=steps,
        rates=[spec.rate(step) for step in steps],
        watches=spec.schedule.watches,
        checked=checked,
        deviates=any(not _same(each) for each in checked) if checked and pure else None,
    )


def _checked(spec: Experiment, applied: Summary | None) -> list[Applied]:
    if applied is None:
        return []
    known = [(applied.last_step, applied.last), (applied.min_step, applied.min), (applied.max_step, applied.max)]
    there = {step: value for step, value in known if step is not None and value is not None}
    return [Applied(step=step, planned=spec.rate(step), applied=value) for step, value in sorted(there.items())]


def _same(each: Applied) -> bool:
    return isclose(each.planned, each.applied, rel_tol=CLOSE, abs_tol=1e-30)


class GhostView(View):
    """What one attempt had computed of one series, in buckets that hold their mean."""

    name: str
    attempt: int
    step: list[int]
    value: list[Number | None] = Field(description="null: nothing finite in the bucket")


class GhostsView(View):
    """By series and attempt."""

    items: list[GhostView]


@router.get("/{run_id}/superseded", operation_id="get_superseded")
def get_superseded(
    run_id: RunId,
    principal: PrincipalDep,
    connection: ConnectionDep,
    names: Annotated[str, Query(max_length=4096, description="comma-separated")] = "loss",
    points: Points = 500,
) -> GhostsView:
    """Points that no curve shows: an attempt computed them, was lost, and the next one went on from before them."""
    run = runs.get(connection, principal, run_id)
    asked = [name.strip() for name in names.split(",")]
    found = superseded.tails(connection, run.id, asked)
    return GhostsView(items=[_ghost(each, points) for each in found])


def _ghost(tail: superseded.Tail, points: int) -> GhostView:
    reduced = reduce(tail.curve.steps, tail.curve.values, points)
    values: Sequence[float] = reduced.mean.tolist()
    return GhostView(
        name=tail.name,
        attempt=tail.attempt,
        step=reduced.last_step.tolist(),
        value=[None if isnan(value) else value for value in values],
    )
