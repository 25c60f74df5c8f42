"""The application: middleware, routes and error handlers."""

import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import Depends, FastAPI

from service.api import problems
from service.api.access import check_access, check_rules
from service.api.dependencies import check_query_parameters
from service.api.middleware.access_log import AccessLog, RouteNote
from service.api.middleware.allowed_hosts import AllowedHosts
from service.api.middleware.authentication import Authentication
from service.api.middleware.compression import GzipRequests, GzipResponses
from service.api.middleware.door import Door
from service.api.middleware.head import HeadAsGet
from service.api.middleware.request_id import RequestId
from service.api.middleware.sub_path import SubPath
from service.api.openapi import RESPONSES, describe
from service.api.routes import (
    admin,
    bin,
    catalog,
    checkpoints,
    comments,
    comparisons,
    datasets,
    derived_runs,
    diagnosis,
    events,
    experiments,
    labels,
    models,
    page,
    queue,
    run_plan,
    runs,
    series,
    service,
    sharing,
    storage,
    symptoms,
    verifications,
    workers,
)
from service.api.routes.people import (
    account,
    accounts,
    audit,
    channels,
    invitations,
    keys,
    members,
    provider,
    quotas,
    saved_views,
    session,
)
from service.api.routes.records import log, readings
from service.api.routes.studies import commands as study_commands
from service.api.routes.studies import studies
from service.api.telemetry import monitoring_of, telemetry_of
from service.os_account import hide_process
from service.process.runtime import open_runtime
from service.settings import Settings
from service.settings import settings as read_settings

ROUTES = (
    *(page, service, session, datasets, experiments, runs, derived_runs, checkpoints, series, events, workers),
    *(comparisons, catalog, labels, storage, run_plan, readings, log, diagnosis, verifications),
    *(models, studies, study_commands),
    *(account, accounts, members, invitations, provider),
    *(admin, symptoms, keys, queue, quotas, channels, audit),
    *(bin, sharing, comments, saved_views),
)
DESCRIPTION = "POST a spec, the server trains it, and compares with honest statistics."


class Api(FastAPI):
    """FastAPI with our own OpenAPI document."""

    def openapi(self) -> dict[str, Any]:
        """Return the document of routes, bodies and errors."""
        return describe(self)


def create_app(settings: Settings) -> FastAPI:
    """Return the API for these settings; its lifespan opens and closes connections and threads."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[dict[str, Any]]:
        async with open_runtime(settings) as runtime:
            yield {"runtime": runtime, "monitoring": monitoring_of(runtime)}

    telemetry, http_metrics = telemetry_of(settings)
    app = Api(
        title="Saddle",
        version="1",
        description=DESCRIPTION,
        lifespan=lifespan,
        dependencies=[Depends(check_access), Depends(check_query_parameters)],
        responses=RESPONSES,
        openapi_url=None,  # served by our own route
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        telemetry=telemetry,
        servers=[{"url": settings.root_path}] if settings.root_path else None,
    )
    app.state.http_metrics = http_metrics
    for module in ROUTES:
        app.include_router(module.router)
    check_rules(app)
    problems.install_handlers(app)
    if settings.access_log:
        app.add_middleware(RouteNote)  # added first, so innermost
    app.add_middleware(GzipRequests)
    app.add_middleware(Authentication)
    app.add_middleware(AllowedHosts, allowed=settings.allowed_hosts)
    app.add_middleware(GzipResponses)
    app.add_middleware(Door)
    app.add_middleware(SubPath, prefix=settings.root_path)
    app.add_middleware(RequestId)
    app.add_middleware(HeadAsGet)
    if settings.access_log:
        app.add_middleware(AccessLog)
    return app


def from_settings() -> FastAPI:
    """Return the API configured by the environment."""
    hide_process()
    app = create_app(read_settings())
    gc.collect()
    gc.freeze()  # loaded modules stay; later collections skip them
    return app


def openapi_document() -> dict[str, Any]:
    """Return the document without a database."""
    return create_app(Settings(database_url="postgresql+psycopg://")).openapi()
