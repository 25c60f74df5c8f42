"""Routes of a run's planned learning rate, of the rows of its parts, and of the points of superseded attempts."""

from typing import Annotated

from fastapi import APIRouter, Query

from service.api.dependencies import ConnectionDep, ContextDep, PrincipalDep, RunId
from service.api.one_thread import OneThread
from service.experiments.planned_rate import planned_rate, superseded_points
from service.experiments.run_split import run_split
from service.schemas.planned_rate import GhostsView, PlannedView
from service.schemas.run_split import SplitView

router = APIRouter(prefix="/v1/runs", tags=["runs"], route_class=OneThread)
Points = Annotated[int, Query(ge=2, le=10_000, description="maximum number of points per curve")]


@router.get("/{run_id}/planned", operation_id="get_planned_rate")
def get_planned_rate(
    run_id: RunId, principal: PrincipalDep, connection: ConnectionDep, points: Points = 300
) -> PlannedView:
    """Return the planned rate at evenly spaced steps, first and last included, and compare it with the applied one."""
    return planned_rate(connection, principal, run_id, points)


@router.get("/{run_id}/split", operation_id="get_split")
def get_split(run_id: RunId, context: ContextDep) -> SplitView:
    """Return which rows of an uploaded table the run trains on, validates on and tests on."""
    return run_split(context, run_id)


@router.get("/{run_id}/superseded", operation_id="get_superseded")
def get_superseded(
    run_id: RunId,
    principal: PrincipalDep,
    connection: ConnectionDep,
    names: Annotated[str, Query(max_length=4096, description="comma-separated")] = "loss",
    points: Points = 500,
) -> GhostsView:
    """Return points that no curve shows: a lost attempt computed them, and the next attempt resumed before them."""
    return superseded_points(connection, principal, run_id, [name.strip() for name in names.split(",")], points)
