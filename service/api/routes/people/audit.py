"""Routes of the audit: of a project for its admins, of all for server admins; as pages, and as a file."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import AwareDatetime, BeforeValidator

from service.api.dependencies import ConnectionDep, PrincipalDep, RuntimeDep
from service.api.one_thread import OneThread
from service.api.paging import Limit, NumberCursor, page_of
from service.db.access import audit, audit_log
from service.db.access.audit_log import AuditFilter
from service.db.access.members import find_project
from service.db.session import Connection, autocommit
from service.export.audit import AUDIT_TYPES, AuditForm, write_audit
from service.process.concurrency import iterate_in_threads
from service.process.runtime import Runtime
from service.schemas.common import Page
from service.schemas.people.audit import AuditView

router = APIRouter(prefix="/v1", tags=["people"], route_class=OneThread)
EXPORTED_AT_ONCE = 1000  # rows
Form = Annotated[AuditForm, Query(alias="format")]


def _check_moment(given: object) -> object:
    """Refuse a bare number, which pydantic takes for seconds or milliseconds since 1970."""
    if isinstance(given, str) and "T" not in given.upper():
        raise ValueError("write a time with its zone, as 2026-11-29T00:00:00Z")
    return given


Moment = Annotated[AwareDatetime, BeforeValidator(_check_moment)]
TEXT = {"schema": {"type": "string"}}
FILE: dict[int | str, dict[str, Any]] = {
    200: {"content": {media.partition(";")[0]: TEXT for media in AUDIT_TYPES.values()}}
}


async def _filter(
    actor: Annotated[str | None, Query(min_length=1, max_length=200, description="the name of who did it")] = None,
    action: Annotated[
        str | None, Query(pattern=r"^[a-z_]+(\.[a-z_]+)?$", max_length=100, description="run.cancel; run: all of runs")
    ] = None,
    target: Annotated[str | None, Query(pattern="^[A-Za-z0-9_-]{1,100}$", description="the id it happened to")] = None,
    since: Annotated[Moment | None, Query(description="this moment and later")] = None,
    until: Annotated[Moment | None, Query(description="before this moment")] = None,
) -> AuditFilter:
    return AuditFilter(None, actor, action, target, since, until)


FilterDep = Annotated[AuditFilter, Depends(_filter)]
ProjectName = Annotated[str | None, Query(max_length=200, description="only of this project")]


@router.get("/audit", operation_id="list_audit")
def list_audit(
    principal: PrincipalDep,
    connection: ConnectionDep,
    chosen: FilterDep,
    request: Request,
    response: Response,
    limit: Limit = 50,
    cursor: NumberCursor = None,
) -> Page[AuditView]:
    """List what was done in the project, newest first."""
    return _page(connection, replace(chosen, project_id=principal.project_id), request, response, limit, cursor)


@router.get("/audit/export", operation_id="export_audit", response_class=Response, responses=FILE)
def export_audit(
    principal: PrincipalDep, connection: ConnectionDep, runtime: RuntimeDep, chosen: FilterDep, form: Form = "csv"
) -> StreamingResponse:
    """Return all that was done in the project as a file, newest first."""
    audit.record(connection, principal, "audit.export", principal.project_id, format=form)
    return _file(runtime, replace(chosen, project_id=principal.project_id), form)


@router.get("/admin/audit", operation_id="list_server_audit")
def list_server_audit(
    principal: PrincipalDep,
    connection: ConnectionDep,
    chosen: FilterDep,
    request: Request,
    response: Response,
    project: ProjectName = None,
    limit: Limit = 50,
    cursor: NumberCursor = None,
) -> Page[AuditView]:
    """List what was done in all projects and to the server, newest first."""
    return _page(connection, _in_project(connection, chosen, project), request, response, limit, cursor)


@router.get("/admin/audit/export", operation_id="export_server_audit", response_class=Response, responses=FILE)
def export_server_audit(
    principal: PrincipalDep,
    connection: ConnectionDep,
    runtime: RuntimeDep,
    chosen: FilterDep,
    project: ProjectName = None,
    form: Form = "csv",
) -> StreamingResponse:
    """Return all that was done as a file, newest first."""
    wanted = _in_project(connection, chosen, project)
    audit.record(connection, principal, "audit.export", wanted.project_id, format=form)
    return _file(runtime, wanted, form)


def _in_project(connection: Connection, chosen: AuditFilter, project: str | None) -> AuditFilter:
    return chosen if project is None else replace(chosen, project_id=find_project(connection, project))


def _page(
    connection: Connection, chosen: AuditFilter, request: Request, response: Response, limit: int, cursor: str | None
) -> Page[AuditView]:
    found = audit_log.page(connection, chosen, limit + 1, None if cursor is None else int(cursor))
    items, next_cursor = page_of(found, limit, request, response)
    return Page(items=[AuditView.of(each) for each in items], next_cursor=next_cursor)


def _file(runtime: Runtime, chosen: AuditFilter, form: AuditForm) -> StreamingResponse:
    parts = iterate_in_threads(write_audit(_pages(runtime, chosen), form), runtime.stream_threads)
    headers = {"Content-Disposition": f'attachment; filename="audit.{form}"'}
    return StreamingResponse(parts, media_type=AUDIT_TYPES[form], headers=headers)


def _pages(runtime: Runtime, chosen: AuditFilter) -> Iterator[list[AuditView]]:
    """Yield all rows, each page by a statement of its own: a slow reader holds no connection."""
    read, before = partial(audit_log.page, chosen=chosen, limit=EXPORTED_AT_ONCE), None
    while True:
        with autocommit(runtime.engine) as connection:
            found = read(connection, before=before)
        if not found:
            return
        yield [AuditView.of(each) for each in found]
        before = found[-1].id
