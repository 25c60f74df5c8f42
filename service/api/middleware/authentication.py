"""Authentication: every route needs a key or a session except the open ones."""

import re
from dataclasses import replace
from functools import partial
from urllib.parse import urlsplit

import anyio
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from service import tracing
from service.api.cookies import read_session
from service.api.middleware.allowed_hosts import METRICS
from service.db.access import projects, sessions
from service.db.access.principal import Principal
from service.db.failures import AWAY
from service.db.session import autocommit, transaction
from service.errors import Forbidden, Unauthorized, Unavailable
from service.process.runtime import Runtime

OPEN_PATHS = ("/", "/v1/livez", "/v1/readyz", "/v1/openapi.json")
SCRAPER_S = 2.0  # to look up who scrapes
PAGE = "/page/"  # open: the files are the same for everybody
OPEN_REQUESTS = (  # what is shown is in the body
    ("POST", "/v1/session"),
    ("GET", "/v1/sign_in"),
    ("GET", "/v1/provider/start"),
    ("GET", "/v1/provider/callback"),
    ("POST", "/v1/provider/finish"),
    ("POST", "/v1/invitations/open"),
    ("POST", "/v1/invitations/accept"),
)
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
KEY = re.compile(r"(?i:bearer) +(key_[0-9a-z]{26}\.[A-Za-z0-9_-]{20,100})")
TRACEPARENT = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
SESSION = re.compile(r"ses_[0-9a-z]{26}\.[A-Za-z0-9_-]{20,100}")


class Authentication:
    """Denies by default: every path except the open ones needs a key or a session, whether the route exists or not.

    A browser sends the cookie with requests of any site, so changes by cookie must come from our own page.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Add the principal to the request, or raise `Unauthorized`."""
        if scope["type"] == "http":
            if scope["method"] not in SAFE_METHODS:
                _check_origin(scope["scheme"], Headers(scope=scope))
            if scope["path"] == METRICS:
                scope["state"]["principal"] = await _scraper(scope)
                return await self.app(scope, receive, send)
            if not needs_no_database(scope["path"]):
                scope["state"]["runtime"].readiness.check()
            if not is_open(scope["method"], scope["path"]):
                scope["state"]["principal"] = await _principal(scope)
        await self.app(scope, receive, send)
        return None


def is_open(method: str, path: str) -> bool:
    """Return whether a request needs no key."""
    return needs_no_database(path) or (method, path) in OPEN_REQUESTS


def needs_no_database(path: str) -> bool:
    """Return whether a path is served without the database, or reports the database's state itself."""
    return path in OPEN_PATHS or path.startswith(PAGE)


async def _scraper(scope: Scope) -> Principal:
    """Return who reads the metrics; while the database does not answer, by a key that was good within the last hour."""
    runtime: Runtime = scope["state"]["runtime"]
    shown = Headers(scope=scope).get("authorization", "")
    try:
        with anyio.fail_after(SCRAPER_S):
            runtime.readiness.check()
            found = await _principal(scope)
    except (Unavailable, TimeoutError):
        known = runtime.scrapers.find(shown)
        if known is None:
            raise Unavailable(AWAY) from None
        return known
    except Unauthorized:
        runtime.scrapers.forget(shown)
        raise
    if shown:
        runtime.scrapers.remember(shown, found)
    return found


async def _principal(scope: Scope) -> Principal:
    """Return who shows this key or this cookie; both are looked up on every request, so revocation is immediate."""
    runtime: Runtime = scope["state"]["runtime"]
    headers = Headers(scope=scope)
    address, found = address_of(scope), None
    if "authorization" not in headers:
        cookie = read_session(scope, runtime.settings.root_path)
        if SESSION.fullmatch(cookie):
            look = partial(find_session, runtime, cookie, address)
            found = await anyio.to_thread.run_sync(look, limiter=runtime.key_threads, abandon_on_cancel=True)
    elif given := KEY.fullmatch(headers["authorization"].strip()):
        found = await look_up(runtime, given[1], address)
    if found is None:
        raise Unauthorized("Send a valid key as `Authorization: Bearer key_....secret`, or sign in on the page.")
    return replace(
        found,
        address=address,
        request_id=scope["state"]["request_id"],
        trace=tracing.traceparent() or trace_of(headers),
    )


def trace_of(headers: Headers) -> str | None:
    """Return the trace context that a request brings (W3C trace context, level 1); None without a valid one."""
    given = headers.get("traceparent", "")
    return given if TRACEPARENT.fullmatch(given) else None


def address_of(scope: Scope) -> str | None:
    """Return where a request came from; a proxy that is trusted says it for others."""
    client = scope.get("client")
    return client[0] if client else None


async def look_up(runtime: Runtime, key: str, address: str | None) -> Principal | None:
    """Return whose key this is, or None; raise `WrongKeys` at an address that sent too many wrong ones."""
    runtime.wrong_keys.check(address, key)
    look = partial(find_principal, runtime, key)
    found = await anyio.to_thread.run_sync(look, limiter=runtime.key_threads, abandon_on_cancel=True)
    if found is None:
        runtime.wrong_keys.count(address)
    else:
        runtime.wrong_keys.remember(key)
        runtime.key_use.note(found.key_id)
    return found


def find_principal(runtime: Runtime, key: str) -> Principal | None:
    """Return whose key this is."""
    with autocommit(runtime.engine) as connection:
        return projects.find_principal(connection, key)


def find_session(runtime: Runtime, cookie: str, address: str | None) -> Principal | None:
    """Return whose session this is, and note at most once a minute that it was seen."""
    with autocommit(runtime.engine) as connection:
        found = sessions.find_principal(connection, cookie)
    if found is None:
        return None
    principal, due = found
    if principal.key_id:
        runtime.key_use.note(principal.key_id)
    if due:
        with transaction(runtime.engine) as connection:
            sessions.touch(connection, replace(principal, address=address))
    return principal


def _check_origin(scheme: str, headers: Headers) -> None:
    """Raise `Forbidden` if another site's page sent this, or if a cookie comes without an Origin."""
    origin, host = headers.get("origin"), headers.get("host", "")
    if origin is None and ("authorization" in headers or "cookie" not in headers):
        return  # a program
    sender = _place(origin or "")
    if sender is None or sender != _place(f"{scheme}://{host}"):
        if sender is not None and sender == _place(f"https://{host}"):
            raise Forbidden("The page came by https, this request by http: name the proxy in SADDLE_TRUSTED_PROXIES.")
        raise Forbidden("Only this server's own page may change anything by cookie: send the key in Authorization.")


def _place(url: str) -> tuple[str, str, int | None] | None:
    """Return the scheme, host and port of an origin (RFC 6454); None if it has none."""
    try:
        parts = urlsplit(url)
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    except ValueError:
        return None
    return (parts.scheme, parts.hostname, port) if parts.hostname else None
