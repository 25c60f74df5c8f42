"""Routes of a project's members, and of the projects that somebody is in."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from service.api.dependencies import ConnectionDep, PrincipalDep, body, id_path, json_body
from service.api.one_thread import OneThread
from service.api.paging import Cursor, Limit, page_of
from service.db.access import accounts, audit, memberships, project_members
from service.db.messages import channels
from service.schemas.common import Page
from service.schemas.people.accounts import MemberView, NewProject, NewServiceMember, ProjectView, RoleRequest

router = APIRouter(prefix="/v1", tags=["people"], route_class=OneThread)
MemberId = Annotated[str, id_path("mem")]


@router.get("/members", operation_id="list_members")
def list_members(
    principal: PrincipalDep,
    connection: ConnectionDep,
    request: Request,
    response: Response,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[MemberView]:
    """List who is in the project, newest first."""
    found = project_members.page(connection, principal, limit + 1, cursor)
    items, next_cursor = page_of(found, limit, request, response)
    return Page(items=[MemberView.of(each) for each in items], next_cursor=next_cursor)


@router.patch("/members/{member_id}", operation_id="change_member", openapi_extra=json_body(RoleRequest))
def change_member(
    member_id: MemberId,
    wanted: Annotated[RoleRequest, Depends(body(RoleRequest))],
    principal: PrincipalDep,
    connection: ConnectionDep,
) -> MemberView:
    """Give a member another role, from the next request on. 409 for the last admin."""
    before = project_members.set_role(connection, principal, member_id, wanted.role)
    audit.record(connection, principal, "member.change", member_id, before=before.role, role=wanted.role)
    return MemberView.of(project_members.get(connection, principal, member_id))


@router.delete("/members/{member_id}", operation_id="remove_member")
def remove_member(member_id: MemberId, principal: PrincipalDep, connection: ConnectionDep) -> MemberView:
    """Remove a member: their keys, sessions, streams and channels here end at once, what they made stays.

    Channels of the project that they made stop too, until an admin starts them again. 409: the last admin.
    """
    removed = project_members.remove(connection, principal, member_id)
    channels.stop_of(connection, f"{removed.name}, who made it, was removed", member_id=member_id)
    audit.record(connection, principal, "member.remove", member_id, name=removed.name, role=removed.role)
    return MemberView.of(removed)


@router.post("/members", operation_id="post_service_member", status_code=201, openapi_extra=json_body(NewServiceMember))
def post_service_member(
    wanted: Annotated[NewServiceMember, Depends(body(NewServiceMember))],
    principal: PrincipalDep,
    connection: ConnectionDep,
) -> MemberView:
    """Add a service account: a program without a password, whose keys admins make. People come by invitation."""
    account_id = accounts.create(connection, wanted.name, None, None, kind="service")
    member_id = memberships.join(connection, principal.project_id, account_id, wanted.name, wanted.role)
    audit.record(connection, principal, "account.create", account_id, name=wanted.name, kind="service")
    audit.record(connection, principal, "member.join", member_id, name=wanted.name, role=wanted.role)
    return MemberView.of(project_members.get(connection, principal, member_id))


@router.get("/projects", operation_id="list_projects")
def list_projects(principal: PrincipalDep, connection: ConnectionDep) -> Page[ProjectView]:
    """List the projects that you are in, by name; a key is in one."""
    found = memberships.of_account(connection, principal.account_id)
    if principal.key_id:
        found = [each for each in found if each.id == principal.project_id]
    views = [ProjectView.of(each, current=each.id == principal.project_id) for each in found]
    return Page(items=views, next_cursor=None)


@router.post("/projects", operation_id="post_project", status_code=201, openapi_extra=json_body(NewProject))
def post_project(
    wanted: Annotated[NewProject, Depends(body(NewProject))], principal: PrincipalDep, connection: ConnectionDep
) -> ProjectView:
    """Make a project and be its admin. For server admins, or for all where SADDLE_OPEN_PROJECTS says so."""
    project_id = memberships.create_project(connection, wanted.name)
    name = accounts.get(connection, principal.account_id).name
    member_id = memberships.join(connection, project_id, principal.account_id, name, "admin")
    audit.record(connection, principal, "project.create", project_id, name=wanted.name)
    audit.record(connection, principal, "member.join", member_id, name=name, role="admin")
    made = next(each for each in memberships.of_account(connection, principal.account_id) if each.id == project_id)
    return ProjectView.of(made, current=False)
