"""Routes of quotas: read them, and change those of people (project admins) and of projects (server admins)."""

from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter, Depends, Query

from service.access.quota_views import quotas_view
from service.api.dependencies import ConnectionDep, PrincipalDep, RuntimeDep, body, json_body
from service.api.one_thread import OneThread
from service.db.access import audit, quotas
from service.db.access.members import find_member, find_project
from service.schemas.people.quotas import PersonQuota, QuotaName, QuotasView, ServerQuota

router = APIRouter(prefix="/v1", tags=["quotas"], route_class=OneThread)
Default = Annotated[bool, Query(description="remove the limit, so that the less specific one holds again")]


@router.get("/quotas", operation_id="get_quotas")
def get_quotas(
    principal: PrincipalDep,
    connection: ConnectionDep,
    runtime: RuntimeDep,
    member: Annotated[str | None, Query(max_length=200, description="another member of the project")] = None,
) -> QuotasView:
    """Return the quotas of the project and of a member, by default of who asks, with what is used of them."""
    return quotas_view(connection, principal, member, runtime.settings.project_bytes)


@router.put("/quotas/{name}", operation_id="set_person_quota", openapi_extra=json_body(PersonQuota))
def set_person_quota(
    name: QuotaName,
    wanted: Annotated[PersonQuota, Depends(body(PersonQuota))],
    principal: PrincipalDep,
    connection: ConnectionDep,
    runtime: RuntimeDep,
    default: Default = False,
) -> QuotasView:
    """Set a limit for each person of the project, or for one member. It holds at once."""
    member_id = None if wanted.member is None else find_member(connection, principal.project_id, wanted.member)
    if default:
        quotas.remove_limit(connection, name, "person", principal.project_id, member_id)
    else:
        quotas.set_limit(connection, name, "person", principal.project_id, member_id, wanted.value)
    told = None if default else wanted.value
    audit.record(
        connection, principal, "quota.change", member_id or principal.project_id, name=name, value=told, default=default
    )
    return quotas_view(connection, principal, wanted.member, runtime.settings.project_bytes)


@router.put("/admin/quotas/{name}", operation_id="set_server_quota", openapi_extra=json_body(ServerQuota))
def set_server_quota(
    name: QuotaName,
    wanted: Annotated[ServerQuota, Depends(body(ServerQuota))],
    principal: PrincipalDep,
    connection: ConnectionDep,
    runtime: RuntimeDep,
    default: Default = False,
) -> QuotasView:
    """Set a limit for one project or for all, of the project as a whole or of each person in it."""
    project_id = None if wanted.project is None else find_project(connection, wanted.project)
    if default:
        quotas.remove_limit(connection, name, wanted.subject, project_id, None)
    else:
        quotas.set_limit(connection, name, wanted.subject, project_id, None, wanted.value)
    told = {"name": name, "subject": wanted.subject, "value": None if default else wanted.value, "default": default}
    there = replace(principal, project_id=project_id or "")  # it is that project's audit, or the server's
    audit.record(connection, there, "quota.change", project_id or "server", **told)
    return quotas_view(connection, principal, None, runtime.settings.project_bytes)
