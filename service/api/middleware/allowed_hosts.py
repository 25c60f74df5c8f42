"""Refuse requests for other host names: protection against DNS rebinding."""

import re

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from service.errors import Misdirected

METRICS = "/metrics"  # Prometheus asks each replica by its address, with a key that no browser sends by itself


class AllowedHosts:
    """Serves only the names in `SADDLE_ALLOWED_HOSTS`; `*` allows any."""

    def __init__(self, app: ASGIApp, allowed: str) -> None:
        self.app = app
        self._names = {name.strip().lower() for name in allowed.split(",")}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Raise `Misdirected` for a name that is not allowed."""
        if scope["type"] == "http" and "*" not in self._names and scope["path"] != METRICS:
            host = Headers(scope=scope).get("host", "").lower()
            if re.sub(r":\d+$", "", host) not in self._names:
                raise Misdirected("The Host header names another server: to allow it, add it to SADDLE_ALLOWED_HOSTS.")
        await self.app(scope, receive, send)
