"""Routes of the service itself: health, identity of the caller, OpenAPI document."""

import anyio
from fastapi import APIRouter, Request, Response

from service.api.dependencies import PrincipalDep, RuntimeDep
from service.api.sign_in import me_of
from service.api.telemetry import http_metrics
from service.db.failures import AWAY
from service.db.session import check_schema, newest_migration
from service.errors import NotFound, Unavailable
from service.schemas.common import Json
from service.schemas.service import Live, Me, Ready

router = APIRouter(tags=["service"])
PROMETHEUS = "text/plain; version=1.0.0; charset=utf-8"
READY_S = 3.0  # a hanging database is reported before a health check times out


@router.get("/v1/openapi.json", operation_id="get_openapi")
def get_openapi(request: Request) -> Json:
    """Return this document."""
    document: Json = request.app.openapi()
    return document


@router.get("/v1/livez", operation_id="get_livez")
async def get_livez() -> Live:
    """Report that the process runs, without checking anything else."""
    return Live()


@router.get("/v1/readyz", operation_id="get_readyz")
async def get_readyz(runtime: RuntimeDep) -> Ready:
    """Report whether the database answers and has the right schema. The broker is reported but not required."""
    if runtime.shutting_down.is_set():
        raise Unavailable("The server is shutting down.")
    runtime.readiness.check()
    try:
        with anyio.fail_after(READY_S):
            await anyio.to_thread.run_sync(check_schema, runtime.engine, abandon_on_cancel=True)
    except TimeoutError:
        raise Unavailable(AWAY) from None
    return Ready(migration=newest_migration(), broker=runtime.dispatcher.broker)


@router.get(
    "/metrics",
    operation_id="get_metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
async def get_metrics(request: Request) -> Response:
    """Return the figures of this process and of the server in Prometheus's text format, where SADDLE_METRICS is set."""
    if request.state.monitoring is None:
        raise NotFound("This server shows no metrics: its operator can set SADDLE_METRICS=true.")
    return Response(http_metrics(request.app) + await request.state.monitoring.scrape(), media_type=PROMETHEUS)


@router.get("/v1/me", operation_id="get_me")
def get_me(principal: PrincipalDep) -> Me:
    """Return who asks: the account, its member in this project, and what the request may do."""
    return me_of(principal)
