"""What every way of signing in shares: passwords held against their hashes, and the session at the end."""

from dataclasses import replace
from functools import partial

import anyio
from fastapi import Request, Response

from service.api.cookies import keep_session, read_session
from service.api.dependencies import open_transaction
from service.api.middleware.authentication import address_of
from service.db.access import accounts, audit, sessions, sign_in_failures
from service.db.access.accounts import Account
from service.db.access.principal import Principal
from service.db.access.sign_in_failures import Slowing
from service.db.session import Connection
from service.errors import Invalid, Problem, SignInSlowed
from service.process.runtime import Runtime
from service.process.senders import network_of
from service.schemas.people.keys import expires_soon
from service.schemas.service import Me
from service.spec.text import normalise

WRONG = "the name or the password is wrong."


async def with_password(
    runtime: Runtime, name: str, password: str, request: Request, pointer: str = "/password"
) -> Principal:
    """Return whose name and password these are; `Invalid` where nobody's, in the same words and time for all."""
    name, address = normalise(name).strip(), address_of(request.scope)
    async with open_transaction(runtime) as connection:
        begun = await anyio.to_thread.run_sync(_begin, connection, name, address)
    slowing, account = begun
    if slowing.refused_s > 0:
        raise SignInSlowed("Too many sign-ins from your address failed: wait.", retry_after_s=slowing.refused_s)
    await anyio.sleep(slowing.delay_s)
    usable = account is not None and account.kind == "person" and account.disabled_at is None
    good = await runtime.passwords.verify(password, account.password_hash if account and usable else None)
    async with open_transaction(runtime) as connection:
        ended = partial(_finish, connection, account, good, name, _where(request))
        principal = await anyio.to_thread.run_sync(ended)
    if principal is None:
        raise Invalid.of([Problem(pointer, "opens_nothing", WRONG)])
    return principal


def _begin(connection: Connection, name: str, address: str | None) -> tuple[Slowing, Account | None]:
    return sign_in_failures.begin(connection, name, network_of(address)), accounts.find(connection, name)


def _finish(
    connection: Connection, account: Account | None, good: bool, name: str, where: Principal
) -> Principal | None:
    """Note how a sign-in ended; the name that was given is kept only where an account has it."""
    if good and account is not None:
        sign_in_failures.succeed(connection, name, network_of(where.address))
        return accounts.principal_of(connection, account.id)
    known = replace(where, member=account.name, account_id=account.id) if account else where
    audit.record(connection, known, "session.refuse")
    return None


def _where(request: Request) -> Principal:
    """Nobody yet, at the request's address."""
    nobody = Principal("", "", "somebody unknown", "", "", "viewer")
    return replace(nobody, address=address_of(request.scope), request_id=request.state.request_id)


def here(principal: Principal, request: Request) -> Principal:
    """Return a principal with the place of the request, for the audit."""
    return replace(principal, address=address_of(request.scope), request_id=request.state.request_id)


def begin(connection: Connection, principal: Principal, request: Request, response: Response) -> Me:
    """Begin a session in this browser, in the place of the one that it has."""
    root_path = request.state.runtime.settings.root_path
    principal = here(principal, request)
    before = sessions.find_principal(connection, read_session(request.scope, root_path))
    if before is not None:
        end_session_of(connection, replace(before[0], address=principal.address), before[0].session_id)
    cookie = sessions.start(connection, principal, request.headers.get("user-agent", ""))
    principal = replace(principal, session_id=cookie.partition(".")[0])
    audit.record(connection, principal, "session.start", principal.session_id)
    keep_session(response, request.scope, root_path, cookie)
    return me_of(principal)


def end_session_of(connection: Connection, principal: Principal, session_id: str) -> bool:
    """End a session that the principal may end; False where there is none."""
    ended = sessions.end(connection, principal, session_id)
    if ended:
        audit.record(connection, principal, "session.end", session_id)
    return ended


def me_of(principal: Principal) -> Me:
    """Return a principal as answers have it."""
    soon = expires_soon(principal.key_expires_at)
    return Me.of(principal, level=principal.level.word, key_expires_soon=soon)
