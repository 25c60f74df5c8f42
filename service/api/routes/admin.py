"""Routes of server admins: all projects, the whole queue, workers, storage; drain a worker, cancel anything."""

from typing import Annotated

from fastapi import APIRouter, Path, Query

from service.api.dependencies import ConnectionDep, ExperimentId, PrincipalDep, RunId
from service.api.one_thread import OneThread
from service.api.paging import Limit
from service.api.replies import NotifyDep
from service.db.admin import commands, workers
from service.db.runs import desired_state
from service.experiments import admin_answers
from service.experiments.commands import each_run
from service.experiments.run_answers import read_run
from service.schemas.admin import BusyWorkersView, BusyWorkerView, ProjectsUseView, ServerStorageView, WholeQueueView
from service.schemas.experiments import ExperimentView
from service.schemas.runs import RunView

router = APIRouter(prefix="/v1/admin", tags=["admin"], route_class=OneThread)
After = Annotated[str, Query(max_length=200, description="only projects whose name comes after this one")]
WorkerName = Annotated[
    str, Path(pattern=r"^[^\x00-\x1f]{1,200}$", description="of a slot, such as worker-1 or worker-1.2")
]


@router.get("/projects", operation_id="list_project_use")
def list_project_use(connection: ConnectionDep, limit: Limit = 50, after: After = "") -> ProjectsUseView:
    """List all projects by name, with members, use and quotas."""
    return admin_answers.read_projects(connection, after, limit)


@router.get("/queue", operation_id="get_whole_queue")
def get_whole_queue(connection: ConnectionDep, limit: Limit = 50) -> WholeQueueView:
    """Return the first waiting runs of all projects in the order in which they are expected to start, and why."""
    return admin_answers.read_whole_queue(connection, limit)


@router.get("/storage", operation_id="get_server_storage")
def get_server_storage(connection: ConnectionDep, limit: Limit = 50) -> ServerStorageView:
    """Return what each project stores, most first, and the size of the database."""
    return admin_answers.read_storage(connection, limit)


@router.get("/workers", operation_id="list_busy_workers")
def list_busy_workers(connection: ConnectionDep) -> BusyWorkersView:
    """List all workers, with what each trains and whether it was drained."""
    return BusyWorkersView(items=[BusyWorkerView.of(each) for each in workers.list_busy(connection)])


@router.post("/workers/{worker}/drain", operation_id="drain_worker", status_code=202)
def drain_worker(
    worker: WorkerName, principal: PrincipalDep, connection: ConnectionDep, notify: NotifyDep
) -> BusyWorkerView:
    """Have a worker write a checkpoint, queue its run again and take no more, also after it starts again."""
    found = workers.set_drain(connection, principal, worker, drain=True)
    notify(found.pool, 1)
    return BusyWorkerView.of(found)


@router.post("/workers/{worker}/undrain", operation_id="undrain_worker", status_code=202)
def undrain_worker(
    worker: WorkerName, principal: PrincipalDep, connection: ConnectionDep, notify: NotifyDep
) -> BusyWorkerView:
    """Let a drained worker take runs again."""
    found = workers.set_drain(connection, principal, worker, drain=False)
    notify(found.pool, 1)
    return BusyWorkerView.of(found)


@router.post("/runs/{run_id}/cancel", operation_id="stop_run", status_code=202)
def stop_run(run_id: RunId, principal: PrincipalDep, connection: ConnectionDep) -> RunView:
    """Cancel a run of any project; the project's audit tells who did. 409 if it has ended otherwise."""
    there = commands.in_project_of(connection, principal, "run", run_id)
    return read_run(connection, desired_state.cancel(connection, there, run_id))


@router.post("/experiments/{experiment_id}/cancel", operation_id="stop_experiment", status_code=202)
def stop_experiment(experiment_id: ExperimentId, principal: PrincipalDep, connection: ConnectionDep) -> ExperimentView:
    """Cancel every run of an experiment of any project that has not ended."""
    there = commands.in_project_of(connection, principal, "experiment", experiment_id)
    return each_run(connection, there, experiment_id, desired_state.cancel_all)
