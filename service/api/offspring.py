"""Routes that make a run from a run: retry, fork, replay."""

import hashlib
from functools import partial
from typing import Annotated

from fastapi import APIRouter, BackgroundTasks, Depends, Query, Response

from service.api.deps import ConnectionDep, PrincipalDep, RunId, RuntimeDep, body, optional_body, takes
from service.api.experiments import IdempotencyKey, answer, read, tried
from service.api.orders import ForkOrder, ReplayOrder, RetryOrder
from service.api.pool_warnings import pool_warnings
from service.api.resolve_data import resolve_data
from service.api.runs import view
from service.api.views import PostedExperiment, RunView
from service.db import experiments, offspring, runs
from service.db.projects import Principal
from service.db.session import Connection
from service.nonfinite import dumps
from service.spec.document import validate
from service.spec.experiment import Experiment
from service.spec.forking import forked

router = APIRouter(prefix="/v1/runs", tags=["runs"])
REPLAYED = "Idempotent-Replayed"


@router.post(
    "/{run_id}/retry",
    operation_id="retry_run",
    status_code=201,
    openapi_extra=takes(RetryOrder, required=False),
)
def retry_run(
    run_id: RunId,
    order: Annotated[RetryOrder, Depends(optional_body(RetryOrder))],
    principal: PrincipalDep,
    runtime: RuntimeDep,
    connection: ConnectionDep,
    response: Response,
    tasks: BackgroundTasks,
    idempotency_key: IdempotencyKey = None,
) -> RunView:
    """Queue a run that failed or was cancelled once more: a new run of the same experiment and seed."""
    made, new = offspring.retry(connection, principal, run_id, order.beginning, idempotency_key)
    found = view(connection, runs.get(connection, principal, made))
    told(response, f"/v1/runs/{made}", new)
    if new:
        tasks.add_task(runtime.dispatcher.ring, found.pool, 1)
    return found


@router.post(
    "/{run_id}/replay",
    operation_id="replay_run",
    status_code=201,
    openapi_extra=takes(ReplayOrder, required=False),
)
def replay_run(
    run_id: RunId,
    order: Annotated[ReplayOrder, Depends(optional_body(ReplayOrder))],
    principal: PrincipalDep,
    runtime: RuntimeDep,
    connection: ConnectionDep,
    response: Response,
    tasks: BackgroundTasks,
    idempotency_key: IdempotencyKey = None,
) -> RunView:
    """Train a run, or its first steps, once more, to see whether it comes out the same. It counts in no comparison."""
    made, new = offspring.replay(connection, principal, run_id, order.steps, idempotency_key)
    found = view(connection, runs.get(connection, principal, made))
    told(response, f"/v1/runs/{made}", new)
    if new:
        tasks.add_task(runtime.dispatcher.ring, found.pool, 1)
    return found


@router.post(
    "/{run_id}/forks",
    operation_id="fork_run",
    status_code=201,
    responses={200: {"model": PostedExperiment, "description": "A dry run: nothing was stored."}},
    openapi_extra=takes(ForkOrder),
)
def fork_run(
    run_id: RunId,
    order: Annotated[ForkOrder, Depends(body(ForkOrder))],
    principal: PrincipalDep,
    runtime: RuntimeDep,
    connection: ConnectionDep,
    response: Response,
    tasks: BackgroundTasks,
    dry_run: Annotated[bool, Query(description="check and normalise only; nothing is stored")] = False,
    idempotency_key: IdempotencyKey = None,
) -> PostedExperiment:
    """Go on from a checkpoint of a run with a changed spec: a new experiment of one run, whose curve begins there."""
    parent, origin = offspring.fork_origin(connection, principal, run_id, order.step)
    understood = forked(
        _spec(connection, principal, parent.experiment_id),
        parent.seed,
        origin.step,
        order.changes,
        order.name,
        partial(resolve_data, connection, principal, runtime.settings),
        loads=origin.attempt is not None,
    )
    waits = pool_warnings(connection, understood.spec, parent.pool)
    if dry_run:
        response.status_code = 200
        return tried(connection, principal, understood, understood.spec.total_steps - origin.step, waits)
    asked = dumps([run_id, order.step, understood.spec.normalised()])
    made, new = experiments.add(
        connection,
        principal,
        understood.spec,
        parent.pool,
        idempotency_key,
        hashlib.sha256(asked.encode()).hexdigest(),
        runtime.settings.max_run_s,
        origin,
    )
    told(response, f"/v1/experiments/{made}", new)
    if new:
        tasks.add_task(runtime.dispatcher.ring, understood.spec.pool or parent.pool, 1)
    return answer(understood, principal, waits, read(connection, principal, made))


def _spec(connection: Connection, principal: Principal, experiment_id: str) -> Experiment:
    return validate(Experiment, experiments.get(connection, principal, experiment_id).spec)


def told(response: Response, location: str, new: bool) -> None:
    """The headers of what was made, now or by an earlier request with the same key."""
    response.headers["Location"] = location
    if not new:
        response.headers[REPLAYED] = "true"
