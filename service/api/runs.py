"""Routes of runs: list them, read one, its attempts, cancel it."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from service.api.deps import ConnectionDep, PrincipalDep, RunId
from service.api.paging import Cursor, Limit, cut
from service.api.views import AttemptsView, AttemptView, Page, RunView, run_views
from service.db import metrics, runs
from service.db.runs import StoredRun
from service.db.session import Connection
from service.lifecycle import State

router = APIRouter(prefix="/v1/runs", tags=["runs"])


@router.get("", operation_id="list_runs")
def list_runs(
    principal: PrincipalDep,
    connection: ConnectionDep,
    request: Request,
    response: Response,
    state: Annotated[State | None, Query(description="only runs in this state")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[RunView]:
    """The project's runs, newest first."""
    found, following = cut(runs.page(connection, principal, limit + 1, cursor, state), limit, request, response)
    summaries = metrics.summaries(connection, [run.id for run in found])
    return Page(items=run_views(found, summaries), next_cursor=following)


@router.get("/{run_id}", operation_id="get_run")
def get_run(run_id: RunId, principal: PrincipalDep, connection: ConnectionDep) -> RunView:
    """One run, with the summaries of its series."""
    return view(connection, runs.get(connection, principal, run_id))


@router.get("/{run_id}/attempts", operation_id="list_attempts")
def list_attempts(run_id: RunId, principal: PrincipalDep, connection: ConnectionDep) -> AttemptsView:
    """Who executed the run, from which step, on what, and how it ended."""
    run = runs.get(connection, principal, run_id)
    return AttemptsView(items=[AttemptView.of(each) for each in runs.attempts(connection, run.id)])


@router.post("/{run_id}/cancel", operation_id="cancel_run", status_code=202)
def cancel_run(run_id: RunId, principal: PrincipalDep, connection: ConnectionDep) -> RunView:
    """Cancel what waits at once; what trains stops after its step. 409 once it has ended otherwise."""
    return view(connection, runs.cancel(connection, principal, run_id))


def view(connection: Connection, run: StoredRun) -> RunView:
    """A run with its series."""
    return RunView.of(run, metrics.summaries(connection, [run.id])[run.id])
