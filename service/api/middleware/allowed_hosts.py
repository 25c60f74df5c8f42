"""Refuse requests for other host names, so that a foreign page cannot rebind its name to this server."""

import re

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from service.errors import Misdirected


class AllowedHosts:
    """Answers only to the names in `SADDLE_ALLOWED_HOSTS`; `*` allows any."""

    def __init__(self, app: ASGIApp, allowed: str) -> None:
        self.app = app
        self._names = {name.strip().lower() for name in allowed.split(",")}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Raise `Misdirected` for any other name."""
        if scope["type"] == "http" and "*" not in self._names:
            host = Headers(scope=scope).get("host", "").lower()
            if re.sub(r":\d+$", "", host) not in self._names:
                raise Misdirected("The Host header names another server: set SADDLE_ALLOWED_HOSTS to allow it.")
        await self.app(scope, receive, send)
