"""Served below a path of a proxy's host (SADDLE_ROOT_PATH): every address that an answer names begins with it."""

import re

from starlette.datastructures import MutableHeaders
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class SubPath:
    """Takes the prefix off each request, unless the proxy has, and puts it before addresses in Location and Link.

    So routes, their checks and their addresses know nothing of it.
    """

    def __init__(self, app: ASGIApp, prefix: str) -> None:
        self.app, self._prefix = app, prefix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Without a prefix, or for anything but a request, nothing changes."""
        if scope["type"] != "http" or not self._prefix:
            return await self.app(scope, receive, send)
        if scope["path"] == self._prefix:
            return await RedirectResponse(f"{self._prefix}/", 308)(scope, receive, send)

        async def prefixed(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                if headers.get("location", "").startswith("/"):
                    headers["Location"] = self._prefix + headers["Location"]
                if "link" in headers:
                    headers["Link"] = re.sub(r"(^|, )</", rf"\1<{self._prefix}/", headers["Link"])
            await send(message)

        if scope["path"].startswith(f"{self._prefix}/"):
            scope = {**scope, "path": scope["path"].removeprefix(self._prefix)}
        await self.app(scope, receive, prefixed)
        return None
