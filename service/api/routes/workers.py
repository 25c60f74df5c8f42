"""Route of workers: their pool, device and current run."""

from fastapi import APIRouter

from service.api.dependencies import ConnectionDep, PrincipalDep
from service.api.one_thread import OneThread
from service.db.runs import workers
from service.schemas.workers import WorkersView, WorkerView

router = APIRouter(prefix="/v1/workers", tags=["workers"], route_class=OneThread)


@router.get("", operation_id="list_workers")
def list_workers(principal: PrincipalDep, connection: ConnectionDep) -> WorkersView:
    """List every worker that ever registered, by pool and name; `gone` means that it shut down cleanly."""
    return WorkersView(items=[WorkerView.of(each) for each in workers.list_all(connection, principal)])
