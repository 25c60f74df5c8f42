"""The route of storage: what a project takes, and which of its runs take most."""

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import Field

from service.api.deps import ConnectionDep, PrincipalDep
from service.api.views import View
from service.db import storage

router = APIRouter(prefix="/v1/storage", tags=["storage"])


class RunStorage(View):
    """What one run takes."""

    run_id: str
    experiment_id: str
    points: int
    points_bytes: int = Field(description="packed values and buckets, without what Postgres keeps about rows")
    checkpoints: int
    checkpoints_bytes: int


class StorageView(View):
    """What a project, or one experiment, takes."""

    runs: int
    points: int
    points_bytes: int
    checkpoints: int
    checkpoints_bytes: int
    greatest: list[RunStorage] = Field(description="the runs that take most, at most `limit`")


@router.get("", operation_id="get_storage")
def get_storage(
    principal: PrincipalDep,
    connection: ConnectionDep,
    experiment: Annotated[
        str | None, Query(pattern="^exp_[0-9a-hjkmnp-tv-z]{26}$", description="only of this experiment")
    ] = None,
    limit: Annotated[int, Query(ge=0, le=1000)] = 20,
) -> StorageView:
    """Bytes of points and of kept checkpoints."""
    found = storage.used(connection, principal, experiment)
    return StorageView(
        runs=len(found),
        points=sum(each.points for each in found),
        points_bytes=sum(each.points_bytes for each in found),
        checkpoints=sum(each.checkpoints for each in found),
        checkpoints_bytes=sum(each.checkpoints_bytes for each in found),
        greatest=[RunStorage(**each.__dict__) for each in found[:limit]],
    )
