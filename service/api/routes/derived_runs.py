"""Routes that derive a run from another: retry, fork, replay, probe, predict."""

from functools import partial
from typing import Annotated, Any

import anyio
from fastapi import APIRouter, Depends, Request, Response

from service.api.dependencies import (
    ConnectionDep,
    ContextDep,
    PrincipalDep,
    RunId,
    RuntimeDep,
    body,
    json_body,
    open_transaction,
    optional_body,
)
from service.api.one_thread import OneThread
from service.api.replies import DRY_RUN, DryRun, IdempotencyKey, NotifyDep, created
from service.api.waiting import counted_as_stream, until_ended
from service.db.runs import runs
from service.experiments import derived_runs, predictions
from service.experiments.context import Context, Made
from service.experiments.run_answers import read_runs
from service.lifecycle import Relation
from service.schemas.experiments import PostedExperiment
from service.schemas.predictions import PredictionView
from service.schemas.replays import ReplaysView
from service.schemas.requests import ForkRequest, PredictRequest, ProbeRequest, ReplayRequest, RetryRequest
from service.schemas.runs import ProbesView, RunView
from service.spec.parse.document import DATA
from service.verification.replays import replays_of

router = APIRouter(prefix="/v1/runs", tags=["runs"], route_class=OneThread)
PREDICT_WAIT_S = 10.0  # for a worker that has nothing else to do this is enough
LATER: dict[int | str, dict[str, Any]] = {
    202: {"model": PredictionView, "description": "The job still waits or runs; `Location` has its answer later."}
}


@router.post(
    "/{run_id}/retry", operation_id="retry_run", status_code=201, openapi_extra=json_body(RetryRequest, required=False)
)
def retry_run(
    run_id: RunId,
    request: Annotated[RetryRequest, Depends(optional_body(RetryRequest))],
    context: ContextDep,
    notify: NotifyDep,
    response: Response,
    idempotency_key: IdempotencyKey = None,
) -> RunView:
    """Retry a failed or cancelled run: queue a new run with the same experiment and seed."""
    return created(derived_runs.retry(context, run_id, request, idempotency_key), response, notify)


@router.post(
    "/{run_id}/replay",
    operation_id="replay_run",
    status_code=201,
    openapi_extra=json_body(ReplayRequest, required=False),
)
def replay_run(
    run_id: RunId,
    request: Annotated[ReplayRequest, Depends(optional_body(ReplayRequest))],
    context: ContextDep,
    notify: NotifyDep,
    response: Response,
    idempotency_key: IdempotencyKey = None,
) -> RunView:
    """Train a run, or its first steps, again to check whether it reproduces. Comparisons ignore the replay."""
    return created(derived_runs.replay(context, run_id, request, idempotency_key), response, notify)


@router.get("/{run_id}/replays", operation_id="list_replays")
def list_replays(run_id: RunId, principal: PrincipalDep, connection: ConnectionDep) -> ReplaysView:
    """List the replays of a run, and whether each reproduced it."""
    return replays_of(connection, principal, run_id)


@router.post(
    "/{run_id}/forks", operation_id="fork_run", status_code=201, responses=DRY_RUN, openapi_extra=json_body(ForkRequest)
)
def fork_run(
    run_id: RunId,
    request: Annotated[ForkRequest, Depends(body(ForkRequest))],
    context: ContextDep,
    notify: NotifyDep,
    response: Response,
    dry_run: DryRun = False,
    idempotency_key: IdempotencyKey = None,
) -> PostedExperiment:
    """Continue from a checkpoint with a changed spec: a new experiment with one run, whose curve starts there."""
    found = derived_runs.fork(context, run_id, request, idempotency_key, dry_run)
    if isinstance(found, Made):
        return created(found, response, notify)
    response.status_code = 200
    return found


@router.post("/{run_id}/probes", operation_id="probe_run", status_code=201, openapi_extra=json_body(ProbeRequest))
def probe_run(
    run_id: RunId,
    request: Annotated[ProbeRequest, Depends(body(ProbeRequest))],
    context: ContextDep,
    notify: NotifyDep,
    response: Response,
    idempotency_key: IdempotencyKey = None,
) -> RunView:
    """Run probes on a kept checkpoint of a run, or on its initial state. The run may still be training."""
    return created(derived_runs.probe(context, run_id, request, idempotency_key), response, notify)


@router.get("/{run_id}/probes", operation_id="list_probes")
def list_probes(run_id: RunId, principal: PrincipalDep, connection: ConnectionDep) -> ProbesView:
    """List the probe runs started for this run."""
    runs.get(connection, principal, run_id)
    found = runs.derived_from(connection, run_id, Relation.PROBE)
    return ProbesView(items=read_runs(connection, [each for each in found if not each.predicts]))


@router.post(
    "/{run_id}/predict",
    operation_id="predict",
    response_model=PredictionView,
    responses=LATER,
    openapi_extra=json_body(PredictRequest),
)
async def predict(
    run_id: RunId,
    rows: Annotated[PredictRequest, Depends(body(PredictRequest, DATA))],
    principal: PrincipalDep,
    runtime: RuntimeDep,
    request: Request,
    response: Response,
    idempotency_key: IdempotencyKey = None,
) -> PredictionView:
    """Predict a few rows, given as they are in the data, with the kept weights of a run.

    A worker computes it as a job of its own. The answer is 200 if that ended within ten seconds, else 202.
    """
    with counted_as_stream(runtime, principal):
        async with open_transaction(runtime, request.state.reach) as connection:
            context = Context(connection, principal, runtime.settings)
            made = await anyio.to_thread.run_sync(predictions.ask, context, run_id, rows, idempotency_key)
        found = made.answer
        look = partial(predictions.answer, principal=principal, run_id=found.run_id, job_id=found.id)
        found = await until_ended(request, response, made, look, PREDICT_WAIT_S)
    if not made.new:
        response.headers["Idempotent-Replayed"] = "true"
    return found


@router.get("/{run_id}/predictions/{job_id}", operation_id="get_prediction")
def get_prediction(run_id: RunId, job_id: RunId, principal: PrincipalDep, connection: ConnectionDep) -> PredictionView:
    """Return what a job that predicts rows has found so far."""
    return predictions.answer(connection, principal, run_id, job_id)
