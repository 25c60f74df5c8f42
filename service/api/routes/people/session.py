"""Routes for signing in on the page: a session, whose random id is in a cookie that scripts cannot read."""

from dataclasses import replace
from typing import Annotated

import anyio
from fastapi import APIRouter, Depends, Request, Response

from service.api.cookies import keep_session
from service.api.dependencies import (
    ConnectionDep,
    PrincipalDep,
    RuntimeDep,
    body,
    id_path,
    json_body,
    open_transaction,
)
from service.api.middleware.authentication import address_of, look_up
from service.api.one_thread import OneThread
from service.api.paging import Cursor, Limit, page_of
from service.api.sign_in import begin, end_session_of, me_of, with_password
from service.db.access import accounts, audit, memberships, sessions
from service.db.access.principal import Principal
from service.errors import Invalid, NotFound, Problem
from service.process.runtime import Runtime
from service.schemas.common import Page
from service.schemas.people.accounts import CurrentProject
from service.schemas.people.sessions import EndedSessions, SessionView, SignIn
from service.schemas.service import Me, SignedOut

router = APIRouter(prefix="/v1", tags=["people"], route_class=OneThread)
SessionId = Annotated[str, id_path("ses")]


@router.post("/session", operation_id="sign_in", openapi_extra=json_body(SignIn))
async def sign_in(
    credentials: Annotated[SignIn, Depends(body(SignIn))], runtime: RuntimeDep, request: Request, response: Response
) -> Me:
    """Sign this browser in, until 12 h pass without a request, or 30 days at most."""
    if credentials.key is not None:
        principal = await _of_key(runtime, credentials.key.strip(), request)  # pasted keys often have spaces
    else:
        principal = await with_password(runtime, credentials.name or "", credentials.password or "", request)
    async with open_transaction(runtime) as connection:
        return await anyio.to_thread.run_sync(begin, connection, principal, request, response)


async def _of_key(runtime: Runtime, key: str, request: Request) -> Principal:
    principal = await look_up(runtime, key, address_of(request.scope))
    if principal is None:
        raise Invalid.of([Problem("/key", "opens_nothing", "it is mistyped, revoked or expired.")])
    return principal


@router.patch("/session", operation_id="enter_project", openapi_extra=json_body(CurrentProject))
def enter_project(
    wanted: Annotated[CurrentProject, Depends(body(CurrentProject))], principal: PrincipalDep, connection: ConnectionDep
) -> Me:
    """Go on in another project that you are in, here and in the other tabs of this browser."""
    memberships.enter(connection, principal.account_id, principal.session_id, wanted.project_id)
    entered = accounts.principal_of(connection, principal.account_id, wanted.project_id)
    return me_of(replace(entered, session_id=principal.session_id))


@router.delete("/session", operation_id="sign_out")
async def sign_out(principal: PrincipalDep, runtime: RuntimeDep, request: Request, response: Response) -> SignedOut:
    """End the session of this browser; a key stays valid."""
    if principal.session_id:
        async with open_transaction(runtime) as connection:
            await anyio.to_thread.run_sync(end_session_of, connection, principal, principal.session_id)
    keep_session(response, request.scope, runtime.settings.root_path, "")
    return SignedOut()


@router.get("/sessions", operation_id="list_sessions")
def list_sessions(
    principal: PrincipalDep,
    connection: ConnectionDep,
    request: Request,
    response: Response,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[SessionView]:
    """List the browsers where you are signed in, newest first; a key lists those that signed in with it."""
    found = sessions.page(connection, principal, limit + 1, cursor)
    items, next_cursor = page_of(found, limit, request, response)
    views = [SessionView.of(each, current=each.id == principal.session_id) for each in items]
    return Page(items=views, next_cursor=next_cursor)


@router.delete("/sessions/{session_id}", operation_id="end_session")
def end_session(session_id: SessionId, principal: PrincipalDep, connection: ConnectionDep) -> EndedSessions:
    """Sign out somewhere else, with effect from the next request."""
    if not end_session_of(connection, principal, session_id):
        raise NotFound(f"There is no session {session_id} of yours that is open.")
    return EndedSessions(ended=1)


@router.delete("/sessions", operation_id="end_other_sessions")
def end_other_sessions(principal: PrincipalDep, connection: ConnectionDep) -> EndedSessions:
    """Sign out everywhere but here."""
    ended = sessions.end_others(connection, principal)
    if ended:
        audit.record(connection, principal, "session.end", None, others=ended)
    return EndedSessions(ended=ended)
