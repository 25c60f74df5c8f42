"""Routes that lay something beside a run's curves: the planned rate, and what superseded attempts had computed."""

from typing import Annotated

from fastapi import APIRouter, Query

from service.api.dependencies import ConnectionDep, PrincipalDep, RunId
from service.experiments.planned_rate import planned_rate, superseded_points
from service.schemas.planned_rate import GhostsView, PlannedView

router = APIRouter(prefix="/v1/runs", tags=["runs"])
Points = Annotated[int, Query(ge=2, le=10_000, description="most points of a curve")]


@router.get("/{run_id}/planned", operation_id="get_planned_rate")
def get_planned_rate(
    run_id: RunId, principal: PrincipalDep, connection: ConnectionDep, points: Points = 300
) -> PlannedView:
    """The planned rate at evenly spread steps, the first and the last among them, beside what was applied."""
    return planned_rate(connection, principal, run_id, points)


@router.get("/{run_id}/superseded", operation_id="get_superseded")
def get_superseded(
    run_id: RunId,
    principal: PrincipalDep,
    connection: ConnectionDep,
    names: Annotated[str, Query(max_length=4096, description="comma-separated")] = "loss",
    points: Points = 500,
) -> GhostsView:
    """Points that no curve shows: an attempt computed them, was lost, and the next one went on from before them."""
    return superseded_points(connection, principal, run_id, [name.strip() for name in names.split(",")], points)
