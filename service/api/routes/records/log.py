"""Route of a run's log: what its worker said, and what the training itself wrote."""

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import PlainTextResponse

from service.api.dependencies import ConnectionDep, PrincipalDep, RunId
from service.api.one_thread import OneThread
from service.api.paging import page_of
from service.db.runs import log_lines
from service.db.runs.log_lines import StoredLine
from service.schemas.runs import LogLineView, LogView

router = APIRouter(prefix="/v1/runs", tags=["runs"], route_class=OneThread)
MAX_TEXT_LINES = 100_000  # a log has fewer: output and recurring lines are bounded for each attempt
Place = Annotated[
    str | None,
    Query(pattern=r"^[0-9]{1,9}\.[0-9]{1,9}$", description="ATTEMPT.NUMBER of a line: only what follows it"),
]
Lines = Annotated[int, Query(ge=1, le=1000, description="lines in a page")]
Newest = Annotated[bool, Query(description="the last `limit` lines instead of the first")]


@router.get("/{run_id}/log", operation_id="get_log")
def get_log(
    run_id: RunId,
    principal: PrincipalDep,
    connection: ConnectionDep,
    request: Request,
    response: Response,
    limit: Lines = 200,
    cursor: Place = None,
    newest: Newest = False,
) -> LogView:
    """Return the log of a run, oldest line first, page by page.

    The lines of every attempt stay, also those of steps that a later attempt trained again. To follow a run, ask again
    with the place of the last line as the cursor.
    """
    found: Sequence[StoredLine]
    if newest:
        found, next_cursor = log_lines.newest(connection, principal, run_id, limit), None
    else:
        attempt, number = map(int, (cursor or "0.0").split("."))
        found = log_lines.after(connection, principal, run_id, (attempt, number), limit + 1)
        found, next_cursor = page_of(found, limit, request, response)
    return LogView(items=[LogLineView.of(each) for each in found], next_cursor=next_cursor)


@router.get(
    "/{run_id}/log.txt",
    operation_id="get_log_text",
    response_class=PlainTextResponse,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
def get_log_text(run_id: RunId, principal: PrincipalDep, connection: ConnectionDep) -> PlainTextResponse:
    """Return the whole log of a run as text: time (UTC), attempt, and the line; `>` marks what the training wrote."""
    found = log_lines.after(connection, principal, run_id, (0, 0), MAX_TEXT_LINES)
    text = "".join(f"{_line(each)}\n" for each in found)
    return PlainTextResponse(text, headers={"Content-Disposition": f'attachment; filename="{run_id}.log"'})


def _line(line: StoredLine) -> str:
    mark = "> " if line.source == "output" else "" if line.level == "info" else f"{line.level}: "
    return f"{line.at:%Y-%m-%d %H:%M:%S} [{line.attempt}] {mark}{line.text}"
