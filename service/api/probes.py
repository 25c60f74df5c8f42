"""Routes of a run's probe jobs: instruments that look at one state of it, as a run of their own that trains nothing."""

from typing import Annotated

from fastapi import APIRouter, BackgroundTasks, Depends, Response

from service.api.deps import ConnectionDep, PrincipalDep, RunId, RuntimeDep, body, takes
from service.api.experiments import IdempotencyKey
from service.api.offspring import told
from service.api.orders import ProbeOrder
from service.api.runs import view
from service.api.views import RunView, View, run_views
from service.db import metrics, offspring, queueing, runs
from service.db.projects import Principal
from service.db.session import Connection
from service.errors import Invalid, Problem
from service.lifecycle import Relation, State

router = APIRouter(prefix="/v1/runs", tags=["runs"])


class ProbesView(View):
    """A run's probe jobs, oldest first; what they found is among the run's readings."""

    items: list[RunView]


@router.post("/{run_id}/probes", operation_id="probe_run", status_code=201, openapi_extra=takes(ProbeOrder))
def probe_run(
    run_id: RunId,
    order: Annotated[ProbeOrder, Depends(body(ProbeOrder))],
    principal: PrincipalDep,
    runtime: RuntimeDep,
    connection: ConnectionDep,
    response: Response,
    tasks: BackgroundTasks,
    idempotency_key: IdempotencyKey = None,
) -> RunView:
    """Look at a kept checkpoint of a run, or at its beginning, with instruments. It may still train meanwhile."""
    _check(connection, principal, order)
    task = order.model_dump(mode="json", include={"probes"})
    made, new = offspring.probe(connection, principal, run_id, task, order.step, idempotency_key)
    found = view(connection, runs.get(connection, principal, made))
    told(response, f"/v1/runs/{made}", new)
    if new:
        tasks.add_task(runtime.dispatcher.ring, found.pool, 1)
    return found


def _check(connection: Connection, principal: Principal, order: ProbeOrder) -> None:
    """Instruments that cannot be asked for; another run that an instrument names must be there."""
    found = list(order.problems())
    for at, probe in enumerate(order.probes):
        other = getattr(probe, "run", None)
        if other is not None and not offspring.has_checkpoint(
            connection, principal, other, getattr(probe, "step", None)
        ):
            detail = "there is no run of this project with a kept checkpoint there."
            found.append(Problem(f"/probes/{at}/run", "no_checkpoint", detail))
    if found:
        raise Invalid.of(found)


@router.get("/{run_id}/probes", operation_id="list_probes")
def list_probes(run_id: RunId, principal: PrincipalDep, connection: ConnectionDep) -> ProbesView:
    """Every time instruments looked at a state of the run on demand."""
    runs.get(connection, principal, run_id)
    found = runs.made_of(connection, run_id, Relation.PROBE)
    places = queueing.places(connection, [each.id for each in found if each.state is State.QUEUED])
    summaries = metrics.summaries(connection, [each.id for each in found])
    return ProbesView(items=run_views(found, summaries, places))
