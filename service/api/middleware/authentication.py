"""Authentication: every route needs a key except the open ones."""

import re
from urllib.parse import urlsplit

import anyio
from starlette.datastructures import Headers
from starlette.requests import cookie_parser
from starlette.types import ASGIApp, Receive, Scope, Send

from service.db.access import projects
from service.db.access.principal import Principal
from service.db.session import autocommit
from service.errors import Forbidden, Unauthorized
from service.process.runtime import Runtime

OPEN_PATHS = ("/", "/v1/livez", "/v1/readyz", "/v1/openapi.json")
PAGE = "/page/"  # open: the files are the same for everybody
SIGN_IN = ("POST", "/v1/session")  # open: the key is in the body
COOKIE = "saddle_key"
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
KEY = re.compile(r"(?i:bearer) +(key_[0-9a-z]{26}\.[A-Za-z0-9_-]{20,100})")


class Authentication:
    """Denies by default: every path except the open ones needs a key, whether the route exists or not.

    A browser sends the cookie with requests of any site, so changes by cookie must come from our own page.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Add the principal to the request, or raise `Unauthorized`."""
        if scope["type"] == "http":
            if scope["method"] not in SAFE_METHODS:
                _check_origin(scope["scheme"], Headers(scope=scope))
            if not needs_no_database(scope["path"]):
                scope["state"]["runtime"].readiness.check()
            if not is_open(scope["method"], scope["path"]):
                scope["state"]["principal"] = await self._principal(scope)
        await self.app(scope, receive, send)

    async def _principal(self, scope: Scope) -> Principal:
        given = KEY.fullmatch(_authorization(Headers(scope=scope)).strip())
        runtime: Runtime = scope["state"]["runtime"]
        found = None
        if given:
            found = await look_up(runtime, given[1], _address(scope))
        if found is None:
            raise Unauthorized("Send a valid key as `Authorization: Bearer key_....secret`.")
        return found


def is_open(method: str, path: str) -> bool:
    """Return whether a request needs no key."""
    return needs_no_database(path) or (method, path) == SIGN_IN


def needs_no_database(path: str) -> bool:
    """Return whether a path is served without the database, or reports the database's state itself."""
    return path in OPEN_PATHS or path.startswith(PAGE)


def _authorization(headers: Headers) -> str:
    """Return the Authorization header, or one made of the page's cookie."""
    if "authorization" in headers:
        return headers["authorization"]
    return f"Bearer {cookie_parser(headers.get('cookie', '')).get(COOKIE, '')}"


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


async def look_up(runtime: Runtime, key: str, address: str | None) -> Principal | None:
    """Return whose key this is, or None; raise `WrongKeys` at an address that sent too many wrong ones."""
    runtime.wrong_keys.check(address, key)
    found = await anyio.to_thread.run_sync(find_principal, runtime, key, limiter=runtime.key_threads)
    if found is None:
        runtime.wrong_keys.count(address)
    else:
        runtime.wrong_keys.remember(key)
        runtime.key_use.note(found.key_id)
    return found


def _address(scope: Scope) -> str | None:
    """Return where the request came from; uvicorn has put the client of a trusted proxy there."""
    return scope["client"][0] if scope.get("client") else None


def find_principal(runtime: Runtime, key: str) -> Principal | None:
    """Look the key up on every request, so that revocation is immediate."""
    with autocommit(runtime.engine) as connection:
        return projects.find_principal(connection, key)
