"""Routes of the bin: what was deleted and can be restored."""

from datetime import timedelta

from fastapi import APIRouter, Request, Response

from service.api.dependencies import ConnectionDep, ExperimentId, PrincipalDep, RuntimeDep
from service.api.one_thread import OneThread
from service.api.paging import Limit, NumberCursor, page_of
from service.db.experiments import bin
from service.experiments.answers import read_experiment
from service.schemas.common import Page
from service.schemas.experiments import ExperimentView
from service.schemas.people.sharing import BinView

router = APIRouter(prefix="/v1", tags=["experiments"], route_class=OneThread)


@router.get("/bin", operation_id="list_bin")
def list_bin(
    principal: PrincipalDep,
    runtime: RuntimeDep,
    connection: ConnectionDep,
    request: Request,
    response: Response,
    limit: Limit = 50,
    cursor: NumberCursor = None,
) -> Page[BinView]:
    """List the experiments, studies and datasets in the project's bin, the last deleted first."""
    found = bin.page(connection, principal, limit + 1, None if cursor is None else int(cursor))
    items, next_cursor = page_of(found, limit, request, response, lambda item: item.position)
    kept = timedelta(days=runtime.settings.bin_days)
    return Page(
        items=[BinView.of(each, erased_after=each.deleted_at + kept) for each in items], next_cursor=next_cursor
    )


@router.post("/experiments/{experiment_id}/restore", operation_id="restore_experiment", status_code=202)
def restore_experiment(
    experiment_id: ExperimentId, principal: PrincipalDep, connection: ConnectionDep
) -> ExperimentView:
    """Take an experiment out of the bin, with everything that belongs to it."""
    bin.restore(connection, principal, experiment_id)
    return read_experiment(connection, principal, experiment_id)
