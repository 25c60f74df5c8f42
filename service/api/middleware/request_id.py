"""The outermost middleware: a request id, security headers, and a problem document for every error."""

import logging

from starlette.datastructures import MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service import tracing
from service.api import problems
from service.errors import SaddleError
from service.ids import new_id
from service.process.refusals import is_refusal
from service.process.request_log import current_request
from service.process.runtime import Runtime

SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'self'; frame-ancestors 'none'",
}
HSTS = "max-age=31536000"  # a year; browsers heed it on answers that came by https only (RFC 6797, 8.1)
NOT_STORED = "private, no-store"  # what a route says nothing about is somebody's data
log = logging.getLogger(__name__)


class RequestId:
    """Gives each request an id and turns unhandled errors into responses.

    All middleware is plain ASGI, so it also covers streams and paths without a route.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection; only HTTP and the lifespan are served."""
        if scope["type"] == "lifespan":
            return await self.app(scope, receive, send)
        if scope["type"] != "http":
            return await send({"type": "websocket.close", "code": 1008})
        request_id = new_id("req")
        scope.setdefault("state", {})["request_id"] = request_id
        current_request.set(request_id)  # each request has a context of its own
        tracing.note(request_id=request_id)
        started = False

        async def send_with_id(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                _note_refusal(scope, message["status"])
                headers = MutableHeaders(scope=message)
                headers.update({"X-Request-Id": request_id, **SECURITY_HEADERS})
                headers.setdefault("Cache-Control", NOT_STORED)
                if scope["scheme"] == "https":
                    headers["Strict-Transport-Security"] = HSTS
            await send(message)

        try:
            await self.app(scope, receive, send_with_id)
        except ClientDisconnect:
            return None
        except Exception as error:
            known = _saddle_error(error)
            if known is None:
                log.exception("request failed: %s %r", scope["method"], scope["path"])
                known = SaddleError("The server failed on this request: look up the instance in its log.")
            if started:
                raise  # too late for another response: the server closes the connection
            await problems.problem_response(known, request_id)(scope, receive, send_with_id)
        return None


def _note_refusal(scope: Scope, status: int) -> None:
    """Have a refusal counted for the audit."""
    method, path = scope["method"], scope["path"]
    if is_refusal(method, path, status):
        client = scope.get("client")
        runtime: Runtime = scope["state"]["runtime"]
        runtime.refusals.note(scope["state"], method, path, status, client[0] if client else None)


def _saddle_error(error: Exception) -> SaddleError | None:
    """Return our own error; Starlette wraps one that is raised after a stream's headers were sent."""
    return next((each for each in (error, error.__cause__) if isinstance(each, SaddleError)), None)
