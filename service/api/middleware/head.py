"""HEAD for every route that has GET (RFC 9110, 9.3.2)."""

import anyio
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class HeadAsGet:
    """Runs the GET route and sends only its headers; cancels a stream after them."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass every other method on unchanged."""
        if scope["type"] != "http" or scope["method"] != "HEAD":
            return await self.app(scope, receive, send)
        with anyio.CancelScope() as answering:

            async def without_body(message: Message) -> None:
                if message["type"] == "http.response.start":
                    await send(message)
                elif not message.get("more_body", False):
                    await send({"type": "http.response.body"})
                elif not answering.cancel_called:
                    await send({"type": "http.response.body"})
                    answering.cancel()

            await self.app({**scope, "method": "GET"}, receive, without_body)
        return None
