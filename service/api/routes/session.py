"""Routes for signing in on the page: a session, whose random id is in a cookie that scripts cannot read."""

from dataclasses import replace
from typing import Annotated

import anyio
from fastapi import APIRouter, Depends, Request, Response

from service.api.cookies import keep_session, read_session
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
from service.api.paging import Cursor, Limit, page_of
from service.api.routes.service import me_of
from service.db.access import audit, sessions
from service.db.access.principal import Principal
from service.db.session import Connection
from service.errors import Invalid, NotFound, Problem
from service.schemas.common import Page
from service.schemas.service import Me, SignedOut
from service.schemas.sessions import EndedSessions, SessionView, SignIn

router = APIRouter(prefix="/v1", tags=["people"])
SessionId = Annotated[str, id_path("ses")]


@router.post("/session", operation_id="sign_in", openapi_extra=json_body(SignIn))
async def sign_in(
    credentials: Annotated[SignIn, Depends(body(SignIn))], runtime: RuntimeDep, request: Request, response: Response
) -> Me:
    """Sign this browser in, until 12 h pass without a request, or 30 days at most."""
    key = credentials.key.strip()  # pasted keys often have spaces
    principal = await look_up(runtime, key, address_of(request.scope))
    if principal is None:
        raise Invalid.of([Problem("/key", "opens_nothing", "it is mistyped, revoked or expired.")])
    async with open_transaction(runtime) as connection:
        return await anyio.to_thread.run_sync(begin, connection, principal, request, response)


def begin(connection: Connection, principal: Principal, request: Request, response: Response) -> Me:
    """Begin a session in this browser, in the place of the one that it has."""
    root_path = request.state.runtime.settings.root_path
    principal = replace(principal, address=address_of(request.scope), request_id=request.state.request_id)
    before = sessions.find_principal(connection, read_session(request.scope, root_path))
    if before is not None:
        _end(connection, replace(before[0], address=principal.address), before[0].session_id)
    cookie = sessions.start(connection, principal, request.headers.get("user-agent", ""))
    principal = replace(principal, session_id=cookie.partition(".")[0])
    audit.record(connection, principal, "session.started", principal.session_id)
    keep_session(response, request.scope, root_path, cookie)
    return me_of(principal)


@router.delete("/session", operation_id="sign_out")
async def sign_out(principal: PrincipalDep, runtime: RuntimeDep, request: Request, response: Response) -> SignedOut:
    """End the session of this browser; a key stays valid."""
    if principal.session_id:
        async with open_transaction(runtime) as connection:
            await anyio.to_thread.run_sync(_end, connection, principal, principal.session_id)
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
    if not _end(connection, principal, session_id):
        raise NotFound(f"There is no session {session_id} of yours that is open.")
    return EndedSessions(ended=1)


@router.delete("/sessions", operation_id="end_other_sessions")
def end_other_sessions(principal: PrincipalDep, connection: ConnectionDep) -> EndedSessions:
    """Sign out everywhere but here."""
    ended = sessions.end_others(connection, principal)
    if ended:
        audit.record(connection, principal, "session.ended", None, others=ended)
    return EndedSessions(ended=ended)


def _end(connection: Connection, principal: Principal, session_id: str) -> bool:
    ended = sessions.end(connection, principal, session_id)
    if ended:
        audit.record(connection, principal, "session.ended", session_id)
    return ended
