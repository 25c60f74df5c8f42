"""The route of what probes found that is more than a number."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from pydantic import Field

from service.api.deps import ConnectionDep, PrincipalDep, RunId
from service.api.paging import Limit, cut
from service.api.views import Json, Utc, View
from service.db import readings
from service.db.readings import StoredReading

router = APIRouter(prefix="/v1/runs", tags=["runs"])
Kind = Annotated[str | None, Query(max_length=64, pattern="^[a-z_]+$", description="only those of this probe")]
After = Annotated[str | None, Query(pattern=r"^[0-9]{1,18}$", description="next_cursor of the page before")]


class ReadingView(View):
    """What one look of a probe found; `data` depends on the kind. In it NaN and the infinities are texts."""

    id: int
    run_id: str = Field(description="the run, or the probe of it that looked")
    attempt: int
    step: int = Field(description="the update behind which it looked; 0: before the first")
    kind: str
    data: Json
    at: Utc

    @classmethod
    def of(cls, stored: StoredReading) -> "ReadingView":
        """From what is stored."""
        return cls(**stored.__dict__)


class ReadingsView(View):
    """Readings of a run, oldest first, and where the next ones begin."""

    items: list[ReadingView]
    next_cursor: str | None = Field(description="give it as `cursor` for the next page; null: this was the last")


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
    found = readings.of_run(connection, principal, run_id, kind, int(cursor or 0), limit + 1)
    items, following = cut(found, limit, request, response)
    return ReadingsView(items=[ReadingView.of(each) for each in items], next_cursor=following)
