"""Route of probe results that are more than a number."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from service.api.dependencies import ConnectionDep, PrincipalDep, RunId
from service.api.one_thread import OneThread
from service.api.paging import Limit, NumberCursor, page_of
from service.db.runs import probe_results
from service.schemas.probe_results import ReadingsView, ReadingView

router = APIRouter(prefix="/v1/runs", tags=["runs"], route_class=OneThread)
Kind = Annotated[str | None, Query(max_length=64, pattern="^[a-z_]+$", description="only results of this probe")]


@router.get("/{run_id}/readings", operation_id="list_readings")
def list_readings(
    run_id: RunId,
    principal: PrincipalDep,
    connection: ConnectionDep,
    request: Request,
    response: Response,
    kind: Kind = None,
    limit: Limit = 50,
    cursor: NumberCursor = None,
) -> ReadingsView:
    """List the probe results of the run, and of probe runs on its checkpoints, that are not series."""
    found = probe_results.of_run(connection, principal, run_id, kind, int(cursor or 0), limit + 1)
    items, next_cursor = page_of(found, limit, request, response)
    return ReadingsView(items=[ReadingView.of(each) for each in items], next_cursor=next_cursor)
