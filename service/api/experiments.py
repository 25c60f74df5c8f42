"""Routes of experiments: post one, list them, read one, cancel, pause or resume its runs."""

import hashlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, BackgroundTasks, Header, Query, Request, Response

from service.api.deps import ConnectionDep, Document, ExperimentId, PrincipalDep, RuntimeDep, preset_taken, takes
from service.api.known_series import check_series
from service.api.listing import Columns, Fields, Filter, Seek, Sort, columns_of, cursor_of, only, order_of, place_of
from service.api.paging import Limit, cut
from service.api.pool_warnings import pool_warnings
from service.api.problems import ProblemItem
from service.api.resolve_data import resolve_data
from service.api.restarts import restarts_of
from service.api.views import Derived, DurationView, ExperimentItem, ExperimentView, Page, PostedExperiment, run_views
from service.db import experiments, figures, lists, metrics, pace, queueing, runs, wishes
from service.db.projects import Principal
from service.db.runs import StoredRun
from service.db.session import Connection
from service.errors import Conflict, Problem
from service.lifecycle import TERMINAL
from service.nonfinite import dumps
from service.spec import posted
from service.spec.experiment import Experiment
from service.spec.filter_language import All, Fact, Term, parse
from service.spec.posted import Posted

router = APIRouter(prefix="/v1/experiments", tags=["experiments"])
IdempotencyKey = Annotated[
    str | None,
    Header(pattern=r"^[\x21-\x7e]{1,128}$", description="the same key and body again give the first answer again"),
]


@router.post(
    "",
    operation_id="post_experiment",
    status_code=201,
    responses={200: {"model": PostedExperiment, "description": "A dry run: nothing was stored."}},
    openapi_extra=takes(Experiment, preset_taken()),
)
def post_experiment(
    document: Document,
    principal: PrincipalDep,
    runtime: RuntimeDep,
    connection: ConnectionDep,
    response: Response,
    tasks: BackgroundTasks,
    dry_run: Annotated[bool, Query(description="check and normalise only; nothing is stored")] = False,
    idempotency_key: IdempotencyKey = None,
) -> PostedExperiment:
    """Store a spec and queue a run for each seed. Workers are rung after the answer.

    A document may name a `preset` and say only what differs from it.
    """
    understood = posted.read(document, partial(resolve_data, connection, principal, runtime.settings))
    spec, pool = understood.spec, runtime.settings.pool
    waits = pool_warnings(connection, spec, pool)
    if dry_run:
        response.status_code = 200
        return tried(connection, principal, understood, spec.total_steps, waits)
    request_hash = hashlib.sha256(dumps(spec.normalised()).encode()).hexdigest()
    experiment_id, new = experiments.add(
        connection, principal, spec, pool, idempotency_key, request_hash, runtime.settings.max_run_s
    )
    if new:
        tasks.add_task(runtime.dispatcher.ring, spec.pool or pool, len(spec.seeds))
    else:
        response.headers["Idempotent-Replayed"] = "true"
    response.headers["Location"] = f"/v1/experiments/{experiment_id}"
    return answer(understood, principal, waits, read(connection, principal, experiment_id))


def tried(
    connection: Connection, principal: Principal, understood: Posted, steps: int, waits: Sequence[Problem]
) -> PostedExperiment:
    """The answer to a dry run, with how long `steps` of it may take."""
    duration = DurationView.of(pace.pace(connection, principal, understood.spec), steps)
    return answer(understood, principal, waits).model_copy(update={"duration": duration})


def answer(
    understood: Posted, principal: Principal, waits: Sequence[Problem], stored: ExperimentView | None = None
) -> PostedExperiment:
    """The answer to a spec, stored or not; `waits` says what will keep its runs waiting."""
    spec = understood.spec
    return PostedExperiment(
        id=stored.id if stored else None,
        name=spec.name,
        owner=stored.owner if stored else principal.member,
        hash=spec.hash,
        created_at=stored.created_at if stored else None,
        spec=spec.normalised(),
        runs=stored.runs if stored else [],
        warnings=[ProblemItem(**problem.as_json()) for problem in [*posted.warnings(understood), *waits]],
        derived=Derived.of(spec),
    )


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
    archived: Annotated[bool, Query(description="those that were put away too")] = False,
    limit: Limit = 50,
    cursor: Seek = None,
) -> Any:
    """The project's experiments, newest first. Of a figure counts the mean over the seeds."""
    order, also = order_of(sort, "experiments"), columns_of(columns)
    terms = [parse(where, "experiments")] if where else []
    check_series(connection, principal, "filter", All(tuple(terms)), where)
    check_series(connection, principal, "sort", [order.field], sort)
    check_series(connection, principal, "columns", also.values(), columns)
    if not archived:
        terms.append(Term(Fact("archived", "date"), "null"))
    keep, after = All(tuple(terms)) if terms else None, place_of(cursor, order)
    found = lists.experiments(connection, principal, limit + 1, keep, order, after, list(also.values()))
    items, following = cut(found, limit, request, response, lambda each: cursor_of(order, each.value, each.id))
    ids = [each.id for each in items]
    standings, main = experiments.standings(connection, ids), figures.of_experiments(connection, ids)
    views = [ExperimentItem.of(each, standings[each.id], main.get(each.id), list(also)) for each in items]
    page = Page[ExperimentItem](items=views, next_cursor=following)
    return only(page, fields, list(ExperimentItem.model_fields), response)


@router.get("/{experiment_id}", operation_id="get_experiment")
def get_experiment(
    experiment_id: ExperimentId, principal: PrincipalDep, connection: ConnectionDep, response: Response
) -> ExperimentView:
    """One experiment, with its runs and the summaries of their series. The header ETag is of name, tags and notes."""
    found = read(connection, principal, experiment_id, with_places=True)
    response.headers["ETag"] = found.etag
    return found


@router.post("/{experiment_id}/cancel", operation_id="cancel_experiment", status_code=202)
def cancel_experiment(
    experiment_id: ExperimentId, principal: PrincipalDep, connection: ConnectionDep
) -> ExperimentView:
    """Cancel every run that has not ended; those that train stop after their step."""
    return _ask(connection, principal, experiment_id, wishes.cancel)


@router.post("/{experiment_id}/pause", operation_id="pause_experiment", status_code=202)
def pause_experiment(experiment_id: ExperimentId, principal: PrincipalDep, connection: ConnectionDep) -> ExperimentView:
    """Pause every run that has not ended; those that train write a checkpoint first."""
    return _ask(connection, principal, experiment_id, wishes.pause)


@router.post("/{experiment_id}/resume", operation_id="resume_experiment", status_code=202)
def resume_experiment(
    experiment_id: ExperimentId,
    principal: PrincipalDep,
    runtime: RuntimeDep,
    connection: ConnectionDep,
    tasks: BackgroundTasks,
) -> ExperimentView:
    """Queue every paused run again."""
    found = _ask(connection, principal, experiment_id, wishes.resume)
    for pool in sorted({run.pool for run in found.runs}):
        tasks.add_task(runtime.dispatcher.ring, pool, 1)
    return found


def _ask(
    connection: Connection,
    principal: Principal,
    experiment_id: str,
    wish: Callable[[Connection, Principal, str], StoredRun],
) -> ExperimentView:
    """Ask it of every run that has not ended."""
    experiments.get(connection, principal, experiment_id)
    for run in runs.all_of_experiments(connection, [experiment_id]):
        if run.state not in TERMINAL:
            with suppress(Conflict):  # it ended just now, or is being cancelled
                wish(connection, principal, run.id)
    return read(connection, principal, experiment_id)


def read(connection: Connection, principal: Principal, experiment_id: str, with_places: bool = False) -> ExperimentView:
    """An experiment and its runs, or `NotFound`; where waiting runs stand takes a look at the whole queue."""
    stored = experiments.get(connection, principal, experiment_id)
    found = runs.all_of_experiments(connection, [experiment_id])
    summaries = metrics.summaries(connection, [run.id for run in found])
    places = queueing.places(connection, [run.id for run in found]) if with_places else {}
    views = run_views(found, summaries, places)
    counting = {run.id for run in runs.counting(found)}
    main = figures.of_experiments(connection, [experiment_id]).get(experiment_id)
    return ExperimentView.of(stored, views, counting, main, restarts_of([run for run in views if run.id in counting]))
