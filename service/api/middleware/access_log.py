"""The access log: a line of JSON for each request, with who asked for what and how it ended.

It names routes by their templates, never an address with its query, a header or a body: any of them may hold a secret.
"""

import json
import logging
import time
from datetime import UTC, datetime
from typing import Any

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service import tracing
from service.api.middleware.authentication import trace_of
from service.db.access.principal import Principal

SESSION_PREFIX = 12  # characters: enough to tell sessions apart
TRACE_ID = slice(3, 35)  # of a traceparent
log = logging.getLogger("saddle.access")


class AccessLog:
    """The outermost layer, where it is asked for: it sees also what other layers refuse."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the request and write its line."""
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        began, status, size = time.perf_counter(), 0, 0
        state = scope.setdefault("state", {})
        trace = tracing.traceparent() or trace_of(Headers(scope=scope))

        async def count(message: Message) -> None:
            nonlocal status, size
            if message["type"] == "http.response.start":
                status = message["status"]
            else:
                size += len(message.get("body", b""))
            await send(message)

        try:
            await self.app(scope, receive, count)
        finally:
            log.info(json.dumps(_line(scope, state, trace, status, size, time.perf_counter() - began)))
        return None


class RouteNote:
    """The innermost layer: it tells the outermost which route was taken; layers in between copy the scope."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the request and note its route."""
        try:
            await self.app(scope, receive, send)
        finally:
            scope["state"]["route"] = getattr(scope.get("route"), "path", None)


def _line(
    scope: Scope, state: dict[str, Any], trace: str | None, status: int, size: int, took_s: float
) -> dict[str, Any]:
    """Return what is written; status 0: the client went away before there was an answer."""
    principal: Principal | None = state.get("principal")
    client = scope.get("client")
    return {
        "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "request_id": state.get("request_id"),
        "trace_id": trace[TRACE_ID] if trace else None,
        "address": client[0] if client else None,
        "method": scope["method"],
        "route": state.get("route"),
        "status": status,
        "bytes": size,
        "ms": round(took_s * 1000, 1),
        "key": principal.key_id if principal else None,
        "session": principal.session_id[:SESSION_PREFIX] if principal else None,
        "member": principal.member if principal else None,
    }
