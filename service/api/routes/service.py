"""Routes of the service itself: its health, who is asking, its own description."""

import anyio
from fastapi import APIRouter, Request

from service.api.dependencies import PrincipalDep, RuntimeDep
from service.db.failures import AWAY
from service.db.session import check_schema, newest_migration
from service.errors import Unavailable
from service.schemas.common import Json
from service.schemas.service import Live, Me, Ready

router = APIRouter(tags=["service"])
READY_S = 3.0  # a database that hangs is told before a health check gives up


@router.get("/v1/openapi.json", operation_id="get_openapi")
def get_openapi(request: Request) -> Json:
    """This document."""
    document: Json = request.app.openapi()
    return document


@router.get("/v1/livez", operation_id="get_livez")
async def get_livez() -> Live:
    """Whether the process runs; asks nobody."""
    return Live()


@router.get("/v1/readyz", operation_id="get_readyz")
async def get_readyz(runtime: RuntimeDep) -> Ready:
    """Whether the database answers and stands at this program's schema. The broker is told, not needed."""
    if runtime.shutting_down.is_set():
        raise Unavailable("The server is ending.")
    runtime.readiness.check()
    try:
        with anyio.fail_after(READY_S):
            await anyio.to_thread.run_sync(check_schema, runtime.engine, abandon_on_cancel=True)
    except TimeoutError:
        raise Unavailable(AWAY) from None
    return Ready(migration=newest_migration(), broker=runtime.dispatcher.broker)


@router.get("/v1/me", operation_id="get_me")
def get_me(principal: PrincipalDep) -> Me:
    """The project and member of the key that asks."""
    return Me.of(principal)
