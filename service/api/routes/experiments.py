"""Routes of experiments: create, list, read; cancel, pause or resume their runs."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from service.api.dependencies import (
    ConnectionDep,
    ContextDep,
    Document,
    ExperimentId,
    PrincipalDep,
    json_body,
    preset_schema,
)
from service.api.list_parameters import (
    Columns,
    Fields,
    Filter,
    Sort,
    SortedCursor,
    parse_columns,
    parse_cursor,
    parse_sort,
    select_fields,
    sorted_page,
)
from service.api.markdown import IN_MARKDOWN, Accept, in_form
from service.api.one_thread import OneThread
from service.api.paging import Limit
from service.api.replies import DRY_RUN, DryRun, IdempotencyKey, NotifyDep, created
from service.db.experiments import experiments, lists
from service.db.metrics import experiment_summary
from service.db.runs import desired_state
from service.experiments import submit
from service.experiments.answers import experiment_item, read_experiment
from service.experiments.commands import each_run
from service.experiments.known_series import check_series
from service.export.markdown.runs import experiment_markdown
from service.schemas.common import Page
from service.schemas.experiments import ExperimentItem, ExperimentView, PostedExperiment
from service.spec.experiment import Experiment
from service.spec.filters.language import And, Fact, Term, parse

router = APIRouter(prefix="/v1/experiments", tags=["experiments"], route_class=OneThread)


@router.post(
    "",
    operation_id="post_experiment",
    status_code=201,
    responses=DRY_RUN,
    openapi_extra=json_body(Experiment, preset_schema()),
)
def post_experiment(
    document: Document,
    context: ContextDep,
    notify: NotifyDep,
    response: Response,
    dry_run: DryRun = False,
    idempotency_key: IdempotencyKey = None,
) -> PostedExperiment:
    """Store a spec and queue a run for each seed.

    A document may name a `preset` and contain only the fields that differ from it.
    """
    if dry_run:
        response.status_code = 200
        return submit.dry_run(context, document)
    return created(submit.submit(context, document, idempotency_key), response, notify)


@router.get("", operation_id="list_experiments", response_model=Page[ExperimentItem])
def list_experiments(
    principal: PrincipalDep,
    connection: ConnectionDep,
    request: Request,
    response: Response,
    where: Filter = None,
    sort: Sort = None,
    fields: Fields = None,
    columns: Columns = None,
    archived: Annotated[bool, Query(description="include archived experiments")] = False,
    shared: Annotated[bool, Query(description="those of other projects that are shared with this one instead")] = False,
    limit: Limit = 50,
    cursor: SortedCursor = None,
) -> Any:
    """List the project's experiments, newest first. A figure is the mean over the seeds."""
    order, extra = parse_sort(sort, "experiments"), parse_columns(columns)
    terms = [parse(where, "experiments")] if where else []
    check_series(connection, principal, "filter", And(tuple(terms)), where)
    check_series(connection, principal, "sort", [order.field], sort)
    check_series(connection, principal, "columns", extra.values(), columns)
    if not archived:
        terms.append(Term(Fact("archived", "date"), "null"))
    condition, after = And(tuple(terms)) if terms else None, parse_cursor(cursor, order)
    found = lists.experiments(connection, principal, limit + 1, condition, order, after, list(extra.values()), shared)
    items, next_cursor = sorted_page(found, limit, order, request, response)
    ids = [each.id for each in items]
    standings, main = experiments.read_progress(connection, ids), experiment_summary.of_experiments(connection, ids)
    views = [experiment_item(each, standings[each.id], main.get(each.id), list(extra)) for each in items]
    page = Page[ExperimentItem](items=views, next_cursor=next_cursor)
    return select_fields(page, fields, list(ExperimentItem.model_fields), response)


@router.get("/{experiment_id}", operation_id="get_experiment", response_model=ExperimentView, responses=IN_MARKDOWN)
def get_experiment(
    experiment_id: ExperimentId,
    principal: PrincipalDep,
    connection: ConnectionDep,
    response: Response,
    accept: Accept = None,
) -> ExperimentView | Response:
    """Return one experiment, with its runs and the summaries of their series. Its ETag covers name, tags and notes.

    JSON, or a short text with `Accept: text/markdown`.
    """
    found = read_experiment(connection, principal, experiment_id, with_places=True)
    return in_form(accept, found, experiment_markdown, response, {"ETag": found.etag})


@router.post("/{experiment_id}/cancel", operation_id="cancel_experiment", status_code=202)
def cancel_experiment(
    experiment_id: ExperimentId, principal: PrincipalDep, connection: ConnectionDep
) -> ExperimentView:
    """Cancel every run that has not ended; running ones stop after the current step."""
    return each_run(connection, principal, experiment_id, desired_state.cancel_all)


@router.post("/{experiment_id}/pause", operation_id="pause_experiment", status_code=202)
def pause_experiment(experiment_id: ExperimentId, principal: PrincipalDep, connection: ConnectionDep) -> ExperimentView:
    """Pause every run that has not ended; running ones write a checkpoint first."""
    return each_run(connection, principal, experiment_id, desired_state.pause_all)


@router.post("/{experiment_id}/resume", operation_id="resume_experiment", status_code=202)
def resume_experiment(
    experiment_id: ExperimentId, principal: PrincipalDep, connection: ConnectionDep, notify: NotifyDep
) -> ExperimentView:
    """Resume every paused run: queue it again."""
    found = each_run(connection, principal, experiment_id, desired_state.resume_all)
    for pool in sorted({run.pool for run in found.runs}):
        notify(pool, 1)
    return found
