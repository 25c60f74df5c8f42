"""The layers around every route: an id for each request, known host names, and a key for all but the open routes.

They are plain ASGI, so that nothing that is mounted, streamed or not found can be reached past them.
"""

import logging
import re
from urllib.parse import urlsplit

import anyio
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect, cookie_parser
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api import problems
from service.api.runtime import Runtime
from service.db.access import projects
from service.db.access.projects import Principal
from service.db.session import looking
from service.errors import Forbidden, Misdirected, SaddleError, Unauthorized
from service.ids import new_id

OPEN = ("/", "/v1/livez", "/v1/readyz", "/v1/openapi.json")  # the routes that need no key
PAGE = "/page/"  # and what lies below it, which is the same for everybody
SIGN_IN = ("POST", "/v1/session")  # and this, whose key is in its body
COOKIE = "saddle_key"
SAFE = ("GET", "HEAD", "OPTIONS")
KEY = re.compile(r"(?i:bearer) +(key_[0-9a-z]{26}\.[A-Za-z0-9_-]{20,100})")
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'self'; frame-ancestors 'none'",
}
log = logging.getLogger(__name__)


class Envelope:
    """The outermost layer: names each request, and answers what nobody else did."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Every answer leaves with an id, an error as a problem document."""
        if scope["type"] == "lifespan":
            return await self.app(scope, receive, send)
        if scope["type"] != "http":  # no route speaks anything else
            return await send({"type": "websocket.close", "code": 1008})
        request_id = new_id("req")
        scope.setdefault("state", {})["request_id"] = request_id
        started = False

        async def named(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                MutableHeaders(scope=message).update({"X-Request-Id": request_id, **HEADERS})
            await send(message)

        try:
            await self.app(scope, receive, named)
        except ClientDisconnect:
            return None
        except Exception as error:
            told = _told(error)
            if told is None:
                log.exception("request %s failed: %s %r", request_id, scope["method"], scope["path"])
                told = SaddleError("The server failed on this request; its log has the rest under the instance.")
            if started:
                raise  # the server can only drop the connection
            await problems.answer(told, request_id)(scope, receive, named)
        return None


def _told(error: Exception) -> SaddleError | None:
    """The error of ours that ended the answer; Starlette wraps one that comes after a stream's headers."""
    return next((each for each in (error, error.__cause__) if isinstance(each, SaddleError)), None)


class KnownHost:
    """Answers only to its own names, so that a page elsewhere cannot rebind one to this server."""

    def __init__(self, app: ASGIApp, allowed: str) -> None:
        self.app = app
        self._names = {name.strip().lower() for name in allowed.split(",")}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """`Misdirected` for a name that is not ours."""
        if scope["type"] == "http" and "*" not in self._names:
            host = Headers(scope=scope).get("host", "").lower()
            if re.sub(r":\d+$", "", host) not in self._names:
                raise Misdirected("The Host header names another server: set SADDLE_ALLOWED_HOSTS to allow it.")
        await self.app(scope, receive, send)


class Authenticated:
    """Denies by default: whatever is not named as open needs a key, whether there is a route or not.

    A browser sends its cookie along whoever asks it to: whatever changes something must come from our own page.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """`Unauthorized` without a key that opens; the principal goes with the request."""
        if scope["type"] == "http":
            if scope["method"] not in SAFE:
                _check_origin(Headers(scope=scope))
            if not asks_nobody(scope["path"]):
                scope["state"]["runtime"].beginning.check()
            if not is_open(scope["method"], scope["path"]):
                scope["state"]["principal"] = await self._principal(scope)
        await self.app(scope, receive, send)

    async def _principal(self, scope: Scope) -> Principal:
        given = KEY.fullmatch(_shown(Headers(scope=scope)).strip())
        runtime: Runtime = scope["state"]["runtime"]
        found = None
        if given:
            found = await anyio.to_thread.run_sync(find, runtime, given[1], limiter=runtime.key_threads)
        if found is None:
            raise Unauthorized("Send a valid key as `Authorization: Bearer key_....secret`.")
        return found


def is_open(method: str, path: str) -> bool:
    """Whether a request needs no key."""
    return asks_nobody(path) or (method, path) == SIGN_IN


def asks_nobody(path: str) -> bool:
    """Whether it is answered without the database, or says itself how that is."""
    return path in OPEN or path.startswith(PAGE)


def _shown(headers: Headers) -> str:
    """The key of a program, or else that of the page's cookie."""
    if "authorization" in headers:
        return headers["authorization"]
    return f"Bearer {cookie_parser(headers.get('cookie', '')).get(COOKIE, '')}"


def _check_origin(headers: Headers) -> None:
    """`Forbidden` where another site's page sends this, or where a cookie comes without saying from which page."""
    origin = headers.get("origin")
    if origin is None and ("authorization" in headers or "cookie" not in headers):
        return  # a program
    if urlsplit(origin or "").netloc.lower() != headers.get("host", "").lower():
        raise Forbidden("Only the page of this server may do this with the key of its cookie.")


def find(runtime: Runtime, key: str) -> Principal | None:
    """Look the key up on every request, so that revocation is immediate."""
    with looking(runtime.engine) as connection:
        return projects.find_principal(connection, key)
