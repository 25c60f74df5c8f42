"""Serving below a path of a proxy's host (SADDLE_ROOT_PATH)."""

import re

from starlette.datastructures import MutableHeaders
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class SubPath:
    """Strips the prefix from requests, unless the proxy has, and adds it to addresses in Location and Link.

    So routes need not know it.
    """

    def __init__(self, app: ASGIApp, prefix: str) -> None:
        self.app, self._prefix = app, prefix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Change nothing if there is no prefix."""
        if scope["type"] != "http" or not self._prefix:
            return await self.app(scope, receive, send)
        if scope["path"] == self._prefix:
            return await RedirectResponse(f"{self._prefix}/", 308)(scope, receive, send)

        async def send_prefixed(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                if headers.get("location", "").startswith("/"):
                    headers["Location"] = self._prefix + headers["Location"]
                if "link" in headers:
                    headers["Link"] = re.sub(r"(^|, )</", rf"\1<{self._prefix}/", headers["Link"])
            await send(message)

        if scope["path"].startswith(f"{self._prefix}/"):
            scope = {**scope, "path": scope["path"].removeprefix(self._prefix)}
        await self.app(scope, receive, send_prefixed)
        return None
