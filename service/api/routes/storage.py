"""Route of storage: what a project uses, and which runs use most."""

from typing import Annotated

from fastapi import APIRouter, Query

from service.api.dependencies import ConnectionDep, PrincipalDep
from service.api.one_thread import OneThread
from service.db.experiments import bin
from service.db.runs import storage
from service.schemas.storage import RunStorage, StorageView

router = APIRouter(prefix="/v1/storage", tags=["storage"], route_class=OneThread)


@router.get("", operation_id="get_storage")
def get_storage(
    principal: PrincipalDep,
    connection: ConnectionDep,
    experiment: Annotated[
        str | None, Query(pattern="^exp_[0-9a-hjkmnp-tv-z]{26}$", description="only this experiment")
    ] = None,
    limit: Annotated[int, Query(ge=0, le=1000)] = 20,
) -> StorageView:
    """Return the bytes used by points and kept checkpoints, and the runs that use most."""
    found = storage.storage_use(connection, principal, experiment)
    return StorageView(
        runs=len(found),
        points=sum(each.points for each in found),
        points_bytes=sum(each.points_bytes for each in found),
        checkpoints=sum(each.checkpoints for each in found),
        checkpoints_bytes=sum(each.checkpoints_bytes for each in found),
        bin_bytes=bin.used_bytes(connection, principal) if experiment is None else 0,
        greatest=[RunStorage(**each.__dict__) for each in found[:limit]],
    )
