"""HEAD wherever GET is: the same request, answered without its body (RFC 9110, 9.3.2)."""

import anyio
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class HeadAsGet:
    """Lets the GET route answer and sends its headers alone; a streamed answer is broken off after them."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Every other method passes unchanged."""
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
