"""Routes of invitations: links into a project for its admins to make, and for everybody to open and accept."""

from dataclasses import replace
from functools import partial
from typing import Annotated

import anyio
from fastapi import APIRouter, Depends, Request, Response

from service.access.password_rules import check_password
from service.api.dependencies import (
    ConnectionDep,
    PrincipalDep,
    RuntimeDep,
    body,
    id_path,
    json_body,
    open_transaction,
)
from service.api.one_thread import OneThread
from service.api.paging import Cursor, Limit, page_of
from service.api.routes.people.account import set_password
from service.api.sign_in import begin, here, me_of
from service.db.access import accounts, audit, invitations, memberships
from service.db.access.invitations import Invitation
from service.db.access.principal import Principal
from service.db.session import Connection
from service.errors import Conflict, Invalid, Problem
from service.schemas.common import Page
from service.schemas.people.accounts import (
    Acceptance,
    InvitationToken,
    InvitationView,
    MadeInvitation,
    NewInvitation,
    OpenedInvitation,
)
from service.schemas.service import Me

router = APIRouter(prefix="/v1", tags=["people"], route_class=OneThread)
InvitationId = Annotated[str, id_path("inv")]


@router.get("/invitations", operation_id="list_invitations")
def list_invitations(
    principal: PrincipalDep,
    connection: ConnectionDep,
    request: Request,
    response: Response,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[InvitationView]:
    """List the invitations into the project that are open, newest first."""
    found = invitations.page(connection, principal, limit + 1, cursor)
    items, next_cursor = page_of(found, limit, request, response)
    return Page(items=[InvitationView.of(each) for each in items], next_cursor=next_cursor)


@router.post("/invitations", operation_id="post_invitation", status_code=201, openapi_extra=json_body(NewInvitation))
def post_invitation(
    wanted: Annotated[NewInvitation, Depends(body(NewInvitation))], principal: PrincipalDep, connection: ConnectionDep
) -> MadeInvitation:
    """Make a link that lets one person in. Only this response contains it; nothing is sent."""
    where = {"project_id": principal.project_id, "role": wanted.role, "email": wanted.email}
    token = invitations.create(connection, principal.member, wanted.lifetime_s, **where)
    made = invitations.look(connection, token)
    audit.record(connection, principal, "member.invite", made.id, role=wanted.role, email=wanted.email)
    return MadeInvitation.of(made, token=token)


@router.post("/invitations/{invitation_id}/revoke", operation_id="revoke_invitation", status_code=202)
def revoke_invitation(
    invitation_id: InvitationId, principal: PrincipalDep, connection: ConnectionDep
) -> InvitationView:
    """Make an open invitation useless."""
    found = invitations.revoke(connection, principal, invitation_id)
    audit.record(connection, principal, "invitation.revoke", invitation_id)
    return InvitationView.of(found)


@router.post("/invitations/open", operation_id="open_invitation", openapi_extra=json_body(InvitationToken))
def open_invitation(
    opened: Annotated[InvitationToken, Depends(body(InvitationToken))], connection: ConnectionDep
) -> OpenedInvitation:
    """Return what a link leads to. 404 for one that was used, revoked or has expired."""
    return OpenedInvitation.of(invitations.look(connection, opened.token))


@router.post("/invitations/accept", operation_id="accept_invitation", openapi_extra=json_body(Acceptance))
async def accept_invitation(
    acceptance: Annotated[Acceptance, Depends(body(Acceptance))],
    runtime: RuntimeDep,
    request: Request,
    response: Response,
) -> Me:
    """Accept as somebody new, with a name and a password, or set a password by a link; sign in."""
    async with open_transaction(runtime) as connection:
        found = await anyio.to_thread.run_sync(invitations.look, connection, acceptance.token)
    if found.account_id is None and acceptance.name is None:
        raise Invalid.of([Problem("/name", "missing", "a new account needs a name.")])
    names = (found.account or acceptance.name or "", *(acceptance.email or "").split("@")[:1])
    check_password(acceptance.password, names)
    hashed = await runtime.passwords.hash(acceptance.password)
    async with open_transaction(runtime) as connection:
        accept = partial(_accept, connection, found, acceptance, hashed, request, response)
        return await anyio.to_thread.run_sync(accept)


def _accept(
    connection: Connection,
    found: Invitation,
    acceptance: Acceptance,
    hashed: str,
    request: Request,
    response: Response,
) -> Me:
    if found.account_id is not None:
        invitations.use(connection, found, found.account_id)
        principal = here(accounts.principal_of(connection, found.account_id), request)
        set_password(connection, principal, found.account_id, hashed)
    else:
        name = acceptance.name or ""
        principal = join_as_new(connection, found, name, acceptance.email, hashed, request)
    return begin(connection, principal, request, response)


def join_as_new(
    connection: Connection, found: Invitation, name: str, email: str | None, hashed: str | None, request: Request
) -> Principal:
    """Make an account and have it join the project of an invitation."""
    account_id = accounts.create(connection, name, email, hashed)
    principal = join(connection, found, account_id, name, request)
    audit.record(connection, principal, "account.create", account_id, name=name)
    return principal


def join(connection: Connection, found: Invitation, account_id: str, name: str, request: Request) -> Principal:
    """Have an account join the project of an invitation; `Conflict` where it is in it, or the link leads nowhere."""
    if found.project_id is None or found.role is None:
        raise Conflict("This link sets a password: sign out, and open it again.")
    invitations.use(connection, found, account_id)
    member_id = memberships.join(connection, found.project_id, account_id, name, found.role)
    principal = here(accounts.principal_of(connection, account_id, found.project_id), request)
    audit.record(connection, principal, "member.join", member_id, name=name, role=found.role, by=found.made_by)
    return principal


@router.post("/projects/join", operation_id="join_project", openapi_extra=json_body(InvitationToken))
def join_project(
    opened: Annotated[InvitationToken, Depends(body(InvitationToken))],
    principal: PrincipalDep,
    connection: ConnectionDep,
    request: Request,
) -> Me:
    """Accept an invitation with the account that you are signed in with, and go on in its project."""
    found = invitations.look(connection, opened.token)
    name = accounts.get(connection, principal.account_id).name
    joined = join(connection, found, principal.account_id, name, request)
    memberships.enter(connection, principal.account_id, principal.session_id, joined.project_id)
    return me_of(replace(joined, session_id=principal.session_id))
