"""The route of workers: who serves which pool, on what, and what each does now."""

from fastapi import APIRouter

from service.api.dependencies import ConnectionDep, PrincipalDep
from service.db.runs import workers
from service.schemas.workers import WorkersView, WorkerView

router = APIRouter(prefix="/v1/workers", tags=["workers"])


@router.get("", operation_id="list_workers")
def list_workers(_: PrincipalDep, connection: ConnectionDep) -> WorkersView:
    """Every worker that ever announced itself, by pool and name; `gone` ones ended in good order."""
    return WorkersView(items=[WorkerView.of(each) for each in workers.list_all(connection)])
