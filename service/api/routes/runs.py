"""Routes of runs: list, read, attempts, history; cancel, pause, resume, reprioritise."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response

from service.api import preconditions
from service.api.dependencies import ConnectionDep, PrincipalDep, RunId, body, json_body
from service.api.list_parameters import (
    Fields,
    Filter,
    Sort,
    SortedCursor,
    parse_cursor,
    parse_sort,
    select_fields,
    sorted_page,
)
from service.api.markdown import IN_MARKDOWN, Accept, in_form
from service.api.one_thread import OneThread
from service.api.paging import Limit, NumberCursor, page_of
from service.api.preconditions import IfMatch
from service.api.replies import NotifyDep
from service.db.experiments import lists
from service.db.runs import desired_state, events, runs
from service.experiments.answers import etag
from service.experiments.known_series import check_series
from service.experiments.run_answers import read_run, read_runs
from service.export.markdown.runs import run_markdown
from service.lifecycle import State
from service.schemas.common import Page
from service.schemas.requests import PriorityRequest
from service.schemas.runs import AttemptsView, AttemptView, EventView, HistoryView, RunView
from service.spec.filters.language import And, Fact, Term, parse

router = APIRouter(prefix="/v1/runs", tags=["runs"], route_class=OneThread)


@router.get("", operation_id="list_runs", response_model=Page[RunView])
def list_runs(
    principal: PrincipalDep,
    connection: ConnectionDep,
    request: Request,
    response: Response,
    state: Annotated[State | None, Query(description="only runs in this state")] = None,
    predictions: Annotated[bool, Query(description="also jobs that predict rows (POST .../predict)")] = False,
    where: Filter = None,
    sort: Sort = None,
    fields: Fields = None,
    limit: Limit = 50,
    cursor: SortedCursor = None,
) -> Any:
    """List the project's runs, newest first."""
    order = parse_sort(sort, "runs")
    terms = [parse(where, "runs")] if where else []
    check_series(connection, principal, "filter", And(tuple(terms)), where)
    check_series(connection, principal, "sort", [order.field], sort)
    if state is not None:
        terms.append(Term(Fact("state", "state"), "=", (state.value,)))
    condition, after = And(tuple(terms)) if terms else None, parse_cursor(cursor, order)
    found = lists.runs(connection, principal, limit + 1, condition, order, after, predictions)
    listed, next_cursor = sorted_page(found, limit, order, request, response)
    items = [each.run for each in listed]
    page = Page[RunView](items=read_runs(connection, items), next_cursor=next_cursor)
    return select_fields(page, fields, list(RunView.model_fields), response)


@router.get("/{run_id}", operation_id="get_run", response_model=RunView, responses=IN_MARKDOWN)
def get_run(
    run_id: RunId, principal: PrincipalDep, connection: ConnectionDep, response: Response, accept: Accept = None
) -> RunView | Response:
    """Return one run, with the summaries of its series. Its ETag covers the priority.

    JSON, or a short text with `Accept: text/markdown`.
    """
    found = runs.get(connection, principal, run_id)
    view = read_run(connection, found)
    return in_form(accept, view, run_markdown, response, {"ETag": etag(found.priority)})


@router.get("/{run_id}/attempts", operation_id="list_attempts")
def list_attempts(run_id: RunId, principal: PrincipalDep, connection: ConnectionDep) -> AttemptsView:
    """List the attempts of a run: worker, device, first step, and how each ended."""
    run = runs.get(connection, principal, run_id)
    return AttemptsView(items=[AttemptView.of(each) for each in runs.attempts(connection, run.id)])


@router.get("/{run_id}/history", operation_id="get_history")
def get_history(
    run_id: RunId,
    principal: PrincipalDep,
    connection: ConnectionDep,
    request: Request,
    response: Response,
    limit: Limit = 50,
    cursor: NumberCursor = None,
) -> HistoryView:
    """List the events of a run, oldest first, each with its cause."""
    run = runs.get(connection, principal, run_id)
    found = events.after(connection, [run.id], int(cursor or 0), limit + 1)
    items, next_cursor = page_of(found, limit, request, response)
    return HistoryView(items=[EventView.of(each) for each in items], next_cursor=next_cursor)


@router.post("/{run_id}/cancel", operation_id="cancel_run", status_code=202)
def cancel_run(run_id: RunId, principal: PrincipalDep, connection: ConnectionDep) -> RunView:
    """Cancel a run: at once if it waits, after the current step if it trains. 409 if it has ended otherwise."""
    return read_run(connection, desired_state.cancel(connection, principal, run_id))


@router.post("/{run_id}/pause", operation_id="pause_run", status_code=202)
def pause_run(run_id: RunId, principal: PrincipalDep, connection: ConnectionDep) -> RunView:
    """Pause a run: at once if it waits; a running one writes a checkpoint after its step and frees its device."""
    return read_run(connection, desired_state.pause(connection, principal, run_id))


@router.post("/{run_id}/resume", operation_id="resume_run", status_code=202)
def resume_run(
    run_id: RunId,
    principal: PrincipalDep,
    connection: ConnectionDep,
    notify: NotifyDep,
) -> RunView:
    """Resume a paused run: queue it to continue from its checkpoint. Revokes a pause that has not taken effect yet."""
    run = desired_state.resume(connection, principal, run_id)
    if run.state is State.QUEUED:
        notify(run.pool, 1)
    return read_run(connection, run)


@router.patch("/{run_id}", operation_id="change_run", openapi_extra=json_body(PriorityRequest))
def change_run(
    run_id: RunId,
    wanted: Annotated[PriorityRequest, Depends(body(PriorityRequest))],
    principal: PrincipalDep,
    connection: ConnectionDep,
    response: Response,
    if_match: IfMatch = None,
) -> RunView:
    """Change the priority of a run; for a running one it applies when it is queued again."""
    if if_match is not None:
        preconditions.check(if_match, etag(runs.get(connection, principal, run_id, lock=True).priority))
    changed = desired_state.prioritise(connection, principal, run_id, wanted.priority)
    response.headers["ETag"] = etag(changed.priority)
    return read_run(connection, changed)
