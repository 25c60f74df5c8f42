"""Content codings: gzip bodies of requests are read, and answers worth it are sent as gzip (RFC 9110, 8.4).

zstd would cost a dependency on the Python this runs on, and every client that has it takes gzip too.
"""

import zlib
from collections.abc import AsyncIterator
from typing import Any

import anyio
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api.content_negotiation import accepts_gzip
from service.errors import Malformed, UnsupportedMedia

GZIP = 16 + zlib.MAX_WBITS  # zlib's word for a gzip header and trailer
PIECE_BYTES = 64 * 1024  # bytes of a body that are unpacked at once
SPARE_MEMBERS, MEMBER_BYTES = 16, 1024  # more members than this only where they hold so many bytes each on average
MIN_BYTES = 1024  # a shorter answer is sent as it is
THREAD_BYTES = 64 * 1024  # packed in a thread
LEVEL = 1
SUFFIX = '-gzip"'  # of the strong entity tag of a packed answer
TEXT_TYPES = ("application/json", "application/problem+json", "application/x-ndjson", "text/csv", "text/plain")


class GzipRequests:
    """Unpacks the body of a request with Content-Encoding: gzip; the reader's own limit counts what comes out.

    Nothing is unpacked before it is asked for, in pieces of 64 KiB, so a reader that stops at its limit has seen no
    more than that of a bomb.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """`UnsupportedMedia` by name for any other coding."""
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        coding = Headers(scope=scope).get("content-encoding", "").strip().lower()
        if coding in ("", "identity"):
            return await self.app(scope, receive, send)
        if coding not in ("gzip", "x-gzip"):
            raise UnsupportedMedia(
                f"The Content-Encoding {coding[:20]!r} is not supported: send gzip, or the body uncompressed."
            )
        pieces, over = _unpacked(receive), False

        async def receive_unpacked() -> Message:
            nonlocal over
            if over:
                return await receive()
            piece = await anext(pieces, None)
            over = piece is None
            return piece or {"type": "http.request", "body": b"", "more_body": False}

        kept = [
            (name, value) for name, value in scope["headers"] if name not in (b"content-encoding", b"content-length")
        ]
        unknown_length = [(b"transfer-encoding", b"chunked")]
        await self.app({**scope, "headers": kept + unknown_length}, receive_unpacked, send)
        return None


async def _unpacked(receive: Receive) -> AsyncIterator[Message]:
    """The request's messages with their bytes unpacked; `Malformed` where these are no gzip, or end too early."""
    unpack, more, spare_members = zlib.decompressobj(GZIP), True, float(SPARE_MEMBERS)
    while more:
        message = await receive()
        if message["type"] != "http.request":  # the client has gone
            yield message
            return
        packed, more, piece = message.get("body", b""), message.get("more_body", False), b""
        while packed or len(piece) == PIECE_BYTES:
            if unpack.eof and packed:  # gzip files may follow one another
                unpack, spare_members = zlib.decompressobj(GZIP), spare_members - 1
            if spare_members < 0:
                raise Malformed(f"The gzip body has many members of less than {MEMBER_BYTES} bytes: pack it as one.")
            try:
                piece = unpack.decompress(packed, PIECE_BYTES)
            except zlib.error:
                raise Malformed("The Content-Encoding says gzip, but the body is not gzip.") from None
            packed, spare_members = (
                unpack.unconsumed_tail or unpack.unused_data,
                spare_members + len(piece) / MEMBER_BYTES,
            )
            await anyio.lowlevel.checkpoint()  # others get their turn between two pieces
            yield {"type": "http.request", "body": piece, "more_body": True}
    if not unpack.eof:
        raise Malformed("The gzip body is cut off.")


class GzipResponses:
    """Packs text of at least 1 KiB for clients that take gzip; live streams and files stay as they are.

    Level 1: 120,000 points are 3.3 MB of JSON, packed 1.41 MB in 28 ms; level 6 makes them 1.31 MB in 177 ms.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Whether it is packed is decided by the answer's own headers and first bytes."""
        if scope["type"] == "http":
            send = _GzipSender(send, accepts_gzip(Headers(scope=scope))).send
            scope = {**scope, "headers": [_plain_tags(*header) for header in scope["headers"]]}
        await self.app(scope, receive, send)


class _GzipSender:
    """One answer on its way out: its first message is held back until its first bytes are there."""

    def __init__(self, send: Send, accepted: bool) -> None:
        self._send, self._accepted = send, accepted
        self._start: Message | None = None
        self._pack: Any = None  # zlib's object, once this answer is packed

    async def send(self, message: Message) -> None:
        """The message, packed where that is worth it."""
        if message["type"] == "http.response.start" and _is_text(message):
            MutableHeaders(scope=message).add_vary_header("Accept-Encoding")
            self._start = message
            return
        start, self._start = self._start, None
        if start and self._accepted and (message.get("more_body", False) or len(message.get("body", b"")) >= MIN_BYTES):
            self._pack = zlib.compressobj(LEVEL, zlib.DEFLATED, GZIP)
        if self._pack:
            message = {**message, "body": await self._packed(message)}
            if start:
                _declare(start, message)
        if start:
            await self._send(start)
        await self._send(message)

    async def _packed(self, message: Message) -> bytes:
        body, last = message.get("body", b""), not message.get("more_body", False)

        def pack() -> bytes:
            packed: bytes = self._pack.compress(body)
            return packed + self._pack.flush() if last else packed

        return pack() if len(body) < THREAD_BYTES else await anyio.to_thread.run_sync(pack)


def _plain_tags(name: bytes, value: bytes) -> tuple[bytes, bytes]:
    """A header of the request; where it names answers by their tags, packed ones by those of what they hold."""
    named = name in (b"if-match", b"if-none-match")
    return name, value.replace(SUFFIX.encode(), b'"') if named else value


def _is_text(start: Message) -> bool:
    """Whether an answer with these headers packs well and is not packed yet."""
    headers = Headers(raw=start["headers"])
    return headers.get("content-type", "").partition(";")[0] in TEXT_TYPES and "content-encoding" not in headers


def _declare(start: Message, first: Message) -> None:
    """Have the headers say what is sent: `first` is packed, and may be all."""
    headers = MutableHeaders(scope=start)
    headers["Content-Encoding"] = "gzip"
    if headers.get("etag", "").startswith('"'):
        headers["ETag"] = headers["etag"][:-1] + SUFFIX  # other bytes; a weak one would never match If-Match
    if not first.get("more_body", False):
        headers["Content-Length"] = str(len(first["body"]))
    elif "content-length" in headers:
        del headers["content-length"]
