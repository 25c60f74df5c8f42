"""Routes that derive a run from another: retry, fork, replay, probe."""

from typing import Annotated

from fastapi import APIRouter, Depends, Response

from service.api.dependencies import ConnectionDep, ContextDep, PrincipalDep, RunId, body, json_body, optional_body
from service.api.replies import DRY_RUN, DryRun, IdempotencyKey, NotifyDep, created
from service.db.runs import runs
from service.experiments import derived_runs
from service.experiments.context import Made
from service.experiments.run_answers import read_runs
from service.lifecycle import Relation
from service.schemas.experiments import PostedExperiment
from service.schemas.replays import ReplaysView
from service.schemas.requests import ForkRequest, ProbeRequest, ReplayRequest, RetryRequest
from service.schemas.runs import ProbesView, RunView
from service.verification.replays import replays_of

router = APIRouter(prefix="/v1/runs", tags=["runs"])


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
    return ProbesView(items=read_runs(connection, runs.derived_from(connection, run_id, Relation.PROBE)))
