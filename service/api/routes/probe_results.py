"""The route of what probes found that is more than a number."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from service.api.dependencies import ConnectionDep, PrincipalDep, RunId
from service.api.paging import Limit, page_of
from service.db.runs import probe_results
from service.schemas.probe_results import ReadingsView, ReadingView

router = APIRouter(prefix="/v1/runs", tags=["runs"])
Kind = Annotated[str | None, Query(max_length=64, pattern="^[a-z_]+$", description="only those of this probe")]
After = Annotated[str | None, Query(pattern=r"^[0-9]{1,18}$", description="next_cursor of the page before")]


@router.get("/{run_id}/readings", operation_id="list_readings")
def list_readings(
    run_id: RunId,
    principal: PrincipalDep,
    connection: ConnectionDep,
    request: Request,
    response: Response,
    kind: Kind = None,
    limit: Limit = 50,
    cursor: After = None,
) -> ReadingsView:
    """What the probes of the run, and of the probes started from its checkpoints, found beside their series."""
    found = probe_results.of_run(connection, principal, run_id, kind, int(cursor or 0), limit + 1)
    items, next_cursor = page_of(found, limit, request, response)
    return ReadingsView(items=[ReadingView.of(each) for each in items], next_cursor=next_cursor)
