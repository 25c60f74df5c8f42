"""Routes of experiments: post one, list them, read one, cancel its runs."""

import hashlib
from functools import partial
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, BackgroundTasks, Header, Query, Request, Response

from service.api.deps import ConnectionDep, Document, ExperimentId, PrincipalDep, RuntimeDep, preset_taken, takes
from service.api.paging import Cursor, Limit, cut
from service.api.problems import ProblemItem
from service.api.restarts import restarts_of
from service.api.views import Derived, ExperimentItem, ExperimentView, Page, PostedExperiment, RunView, run_views
from service.db import datasets, experiments, metrics, runs
from service.db.projects import Principal
from service.db.session import Connection
from service.errors import Conflict
from service.ingest import mounted
from service.lifecycle import TERMINAL
from service.nonfinite import dumps
from service.spec import posted
from service.spec.experiment import Experiment
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
    understood = posted.read(document, partial(looked_up, connection, principal, runtime.settings.dataset_folder))
    spec = understood.spec
    if dry_run:
        response.status_code = 200
        return answer(understood, principal)
    request_hash = hashlib.sha256(dumps(spec.normalised()).encode()).hexdigest()
    pool = runtime.settings.pool
    experiment_id, new = experiments.add(connection, principal, spec, pool, idempotency_key, request_hash)
    if new:
        tasks.add_task(runtime.dispatcher.ring, pool, len(spec.seeds))
    else:
        response.headers["Idempotent-Replayed"] = "true"
    response.headers["Location"] = f"/v1/experiments/{experiment_id}"
    return answer(understood, principal, read(connection, principal, experiment_id))


def looked_up(connection: Connection, principal: Principal, folder: Path | None, spec: Experiment) -> Experiment:
    """The spec with what its upload, or the mounted folder, holds."""
    return mounted.resolve(folder, datasets.resolve(connection, principal, spec))


def answer(understood: Posted, principal: Principal, stored: ExperimentView | None = None) -> PostedExperiment:
    """The answer to a spec, stored or not."""
    spec = understood.spec
    return PostedExperiment(
        id=stored.id if stored else None,
        name=spec.name,
        owner=stored.owner if stored else principal.member,
        hash=spec.hash,
        created_at=stored.created_at if stored else None,
        spec=spec.normalised(),
        runs=stored.runs if stored else [],
        warnings=[ProblemItem(**problem.as_json()) for problem in posted.warnings(understood)],
        derived=Derived.of(spec),
    )


@router.get("", operation_id="list_experiments")
def list_experiments(
    principal: PrincipalDep,
    connection: ConnectionDep,
    request: Request,
    response: Response,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[ExperimentItem]:
    """The project's experiments, newest first."""
    found, following = cut(experiments.page(connection, principal, limit + 1, cursor), limit, request, response)
    counts = experiments.state_counts(connection, [each.id for each in found])
    return Page(items=[ExperimentItem.of(each, counts[each.id]) for each in found], next_cursor=following)


@router.get("/{experiment_id}", operation_id="get_experiment")
def get_experiment(experiment_id: ExperimentId, principal: PrincipalDep, connection: ConnectionDep) -> ExperimentView:
    """One experiment, with its runs and the summaries of their series."""
    return read(connection, principal, experiment_id)


@router.post("/{experiment_id}/cancel", operation_id="cancel_experiment", status_code=202)
def cancel_experiment(
    experiment_id: ExperimentId, principal: PrincipalDep, connection: ConnectionDep
) -> ExperimentView:
    """Cancel every run that has not ended; those that train stop after their step."""
    experiments.get(connection, principal, experiment_id)
    for run in runs.of_experiments(connection, [experiment_id]):
        if run.state not in TERMINAL:
            try:
                runs.cancel(connection, principal, run.id)
            except Conflict:  # it ended just now
                continue
    return read(connection, principal, experiment_id)


def read(connection: Connection, principal: Principal, experiment_id: str) -> ExperimentView:
    """An experiment and its runs, or `NotFound`."""
    stored = experiments.get(connection, principal, experiment_id)
    found = runs.of_experiments(connection, [experiment_id])
    views: list[RunView] = run_views(found, metrics.summaries(connection, [run.id for run in found]))
    return ExperimentView.of(stored, views, restarts_of(views))
