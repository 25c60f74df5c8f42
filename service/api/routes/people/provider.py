"""Routes of signing in through an OpenID provider.

The provider sends the browser back to the page, and the page ends the sign-in: so the cookies stay SameSite=Strict, and
whoever is signed in already links the identity to their account.
"""

from functools import partial
from typing import Annotated
from urllib.parse import urlencode

import anyio
from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import RedirectResponse

from service.api.cookies import keep_flow, read_flow, read_session
from service.api.dependencies import RuntimeDep, body, json_body, open_transaction
from service.api.routes.people.invitations import join_as_new
from service.api.sign_in import begin, here, me_of
from service.db.access import accounts, audit, invitations, sessions
from service.db.access.accounts import Account
from service.db.access.principal import Principal
from service.db.session import Connection
from service.errors import Conflict, Forbidden, Invalid
from service.process.provider import Flow, Person
from service.schemas.people.accounts import ProviderReturn, SignInWays
from service.schemas.service import Me
from service.spec.text import clean_name, visible_name

router = APIRouter(prefix="/v1", tags=["people"])
Text = Annotated[str, Query(max_length=4000)]


@router.get("/sign_in", operation_id="get_sign_in_ways")
async def get_sign_in_ways(runtime: RuntimeDep) -> SignInWays:
    """Return how people sign in here, besides keys and passwords."""
    return SignInWays(provider=runtime.provider.name)


@router.get("/provider/start", operation_id="start_provider", status_code=303, response_class=RedirectResponse)
async def start_provider(runtime: RuntimeDep, request: Request) -> RedirectResponse:
    """Send the browser to the provider."""
    flow = Flow.begin()
    response = RedirectResponse(await runtime.provider.address(flow, _redirect_uri(request)), 303)
    keep_flow(response, request.scope, runtime.settings.root_path, flow.as_cookie())
    return response


@router.get("/provider/callback", operation_id="return_from_provider", status_code=303, response_class=RedirectResponse)
async def return_from_provider(
    code: Text = "",
    state: Text = "",
    error: Text = "",
    error_description: Text = "",
    iss: Text = "",
    session_state: Text = "",
    scope: Text = "",
) -> RedirectResponse:
    """Hand the provider's answer to the page, behind the # of its address."""
    answer = {"code": code, "state": state, "error": error}
    return RedirectResponse(f"/#/provider?{urlencode({name: value for name, value in answer.items() if value})}", 303)


@router.post("/provider/finish", operation_id="finish_provider", openapi_extra=json_body(ProviderReturn))
async def finish_provider(
    returned: Annotated[ProviderReturn, Depends(body(ProviderReturn))],
    runtime: RuntimeDep,
    request: Request,
    response: Response,
) -> Me:
    """Sign in with what the provider gave to this browser, or link it to the account that is signed in."""
    root_path = runtime.settings.root_path
    flow = Flow.of_cookie(read_flow(request.scope, root_path))
    person = await runtime.provider.person(flow, returned.state, returned.code, _redirect_uri(request))
    async with open_transaction(runtime) as connection:
        finish = partial(_finish, connection, person, returned.invitation, request, response)
        me = await anyio.to_thread.run_sync(finish)
    keep_flow(response, request.scope, root_path, "")
    return me


def _redirect_uri(request: Request) -> str:
    root_path = request.state.runtime.settings.root_path
    return f"{request.scope['scheme']}://{request.headers.get('host', '')}{root_path}/v1/provider/callback"


def _finish(connection: Connection, person: Person, invitation: str | None, request: Request, response: Response) -> Me:
    settings = request.state.runtime.settings
    found = accounts.of_identity(connection, person.issuer, person.subject)
    signed_in = sessions.find_principal(connection, read_session(request.scope, settings.root_path))
    if signed_in is not None and not signed_in[0].key_id:
        return _link(connection, here(signed_in[0], request), person, found)
    if found is None:
        principal = _enter(connection, person, invitation, request)
    elif found.disabled_at is not None:
        raise Forbidden("This account is disabled: ask an admin of the server.")
    else:
        principal = accounts.principal_of(connection, found.id)
    return begin(connection, principal, request, response)


def _link(connection: Connection, principal: Principal, person: Person, found: Account | None) -> Me:
    """Let whoever is signed in also sign in through the provider."""
    if found is not None and found.id != principal.account_id:
        raise Conflict("Somebody else on this server signs in with this identity.")
    if accounts.add_identity(connection, principal.account_id, person.issuer, person.subject):
        audit.record(connection, principal, "identity.link", principal.account_id, issuer=person.issuer)
    return me_of(principal)


def _enter(connection: Connection, person: Person, invitation: str | None, request: Request) -> Principal:
    """Make an account at the first sign-in: by invitation, or for an address of a domain that the settings name."""
    taken = person.email is not None and accounts.find(connection, person.email) is not None
    name = _free_name(connection, person.name)
    if invitation is not None:
        opened = invitations.look(connection, invitation)
        principal = join_as_new(connection, opened, name, None if taken else person.email, None, request)
    else:
        domains = {part.strip().lower() for part in request.state.runtime.settings.oidc_domains.split(",")} - {""}
        if person.email is None or person.email.rpartition("@")[2].lower() not in domains:
            raise Forbidden("Nobody here knows you yet: ask an admin of a project for an invitation.")
        if taken:
            raise Conflict(
                "An account has your address: sign in to it, and link this provider on its page. "
                "If it is not yours, ask a server admin to disable it."
            )
        account_id = accounts.create(connection, name, person.email, None)
        principal = here(accounts.principal_of(connection, account_id), request)
        audit.record(connection, principal, "account.create", account_id, name=name, issuer=person.issuer)
    accounts.add_identity(connection, principal.account_id, person.issuer, person.subject)
    return principal


def _free_name(connection: Connection, given: str) -> str:
    """Return a name like the given one that no account has."""
    try:
        name = visible_name(clean_name(given.replace("@", " ")))[:50]
    except ValueError:
        name = "somebody"
    for number in range(1, 100):
        tried = name if number == 1 else f"{name} {number}"
        if accounts.find(connection, tried) is None:
            return tried
    raise Invalid("No name is free: ask an admin of the server.")
