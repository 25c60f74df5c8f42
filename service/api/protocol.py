"""A connection to the server: HTTP/1.1 by httptools, HTTP/1.0 by h11, both with limits on time and size.

uvicorn's httptools sends every response without a length in chunks, which HTTP/1.0 lacks (RFC 9112, 6.1); its h11
closes the connection after such a response. h11 is slower, but only old clients and some proxies use HTTP/1.0.
uvicorn limits the time between two requests only, and neither parser the size of a request's head, so both are here.
"""

import asyncio
import json
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from service.process.connections import Awaits, Connection, Connections

MAX_HEAD_BYTES = 64 * 1024  # of a request: its line and headers
MAX_HEADERS = 100

if TYPE_CHECKING:
    _Base = asyncio.Protocol
else:
    _Base = object


class Watched(_Base):
    """Tells `Connections` what the server waits for, and ends when that says so."""

    transport: asyncio.Transport
    cycle: Any
    app_state: dict[str, Any]
    connection: Connection | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection, or refuse it if the server works for as many as it can."""
        super().connection_made(transport)
        if self.connection is None:
            peer = transport.get_extra_info("peername")
            self.connection = self.watcher.open(str(peer[0]) if peer else "", self._end)
        else:  # handed over by the protocol of the first line
            self.connection.end = self._end
        if self.connection is None:
            self.refuse(503, "Every connection of the server is in use.", "connections", {"Retry-After": "2"})

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        if self.connection is not None:
            self.watcher.close(self.connection)
            self.connection = None
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Handle the next bytes of the connection."""
        super().data_received(data)
        self.note()

    def on_response_complete(self) -> None:
        """Wait for the next request."""
        super().on_response_complete()  # type: ignore[misc]
        self.note()

    def pause_writing(self) -> None:
        """Wait for the client to take what it was sent."""
        super().pause_writing()
        if self.connection is not None:
            self.watcher.wait(self.connection, Awaits.TAKEN)

    def resume_writing(self) -> None:
        """Go on with the response."""
        super().resume_writing()
        self.note()

    @property
    def watcher(self) -> Connections:
        """The connections of this process."""
        connections: Connections = self.app_state["runtime"].connections
        return connections

    def awaits(self) -> Awaits | None:
        """Return what the server waits for by what the parser has seen; None if it works on a response."""
        raise NotImplementedError

    def note(self) -> None:
        """Report what the server waits for now."""
        if self.connection is None or self.transport.is_closing():
            return
        if awaits := self.awaits():
            self.watcher.wait(self.connection, awaits)
        else:
            self.watcher.work(self.connection)

    def _end(self, awaited: Awaits) -> None:
        """Close the connection; say why where a client may be there to read it."""
        if awaited is Awaits.TAKEN:
            self.transport.abort()
        elif awaited is Awaits.BODY and not self.cycle.response_started:
            self.refuse(408, "The rest of the body did not come in time.", "timeout")
        else:
            self.transport.close()

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP."""
        self.refuse(400, "The request is not HTTP.", "malformed")

    def refuse(self, status: int, detail: str, code: str, headers: dict[str, str] | None = None) -> None:
        """Send a problem document (RFC 9457) without asking the application, and close the connection."""
        title = HTTPStatus(status).phrase
        document = {"type": f"urn:saddle:{code}", "title": title, "status": status, "detail": detail, "code": code}
        body = json.dumps({**document, "errors": []}).encode()
        lines = [f"HTTP/1.1 {status} {title}", "Content-Type: application/problem+json", "Connection: close"]
        lines += [f"Content-Length: {len(body)}", *(f"{name}: {value}" for name, value in (headers or {}).items())]
        self.transport.write("\r\n".join([*lines, "\r\n"]).encode() + body)
        self.transport.close()


class Http10(Watched, H11Protocol):
    """One request of HTTP/1.0."""

    def awaits(self) -> Awaits | None:
        """Return the part that is missing."""
        if self.cycle is None:
            return Awaits.HEAD
        return Awaits.BODY if self.conn.their_state is h11.SEND_BODY else None


class HeadTooLarge(Exception):
    """The line and headers of a request are longer than the limit."""


class HttpProtocol(Watched, HttpToolsProtocol):
    """Reads the first line of the connection, then hands it to the protocol of its version."""

    _first: bytes | None = b""  # bytes of the first line so far; None once it is complete
    _reading: Awaits = Awaits.NEXT  # the part of a request that the parser is in
    _head_bytes = 0  # of the request whose head is being read
    _too_large = False

    def data_received(self, data: bytes) -> None:
        """Handle the next bytes of the connection."""
        if self._first is None:
            return self._parse(data)
        self._first = (self._first + data).lstrip(b"\r\n")
        line, end, _ = self._first.partition(b"\n")
        if not end and len(line) < MAX_HEAD_BYTES:
            return None
        received, self._first = self._first, None
        if not line.rstrip().endswith(b"HTTP/1.0"):
            return self._parse(received)
        self.connections.discard(self)
        other = Http10(self.config, self.server_state, self.app_state, self.loop)
        other.connection, self.connection = self.connection, None
        other.connection_made(self.transport)
        self.transport.set_protocol(other)
        other.data_received(received)
        return None

    def _parse(self, data: bytes) -> None:
        super().data_received(data)
        if self._reading is Awaits.HEAD:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
                self._refuse_head()

    def awaits(self) -> Awaits | None:
        """Return the part that is missing; a body that nobody reads any more has no more time than a head."""
        if self._first is not None:
            return Awaits.HEAD
        answering = self.cycle is not None and not self.cycle.response_complete
        if self._reading is Awaits.BODY:
            return Awaits.BODY if answering else Awaits.HEAD
        if answering:
            return None
        return self._reading

    def on_message_begin(self) -> None:
        """Begin a request."""
        self._reading, self._head_bytes = Awaits.HEAD, 0
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header, within the limits."""
        self._head_bytes += len(name) + len(value)
        if len(self.headers) >= MAX_HEADERS or self._head_bytes > MAX_HEAD_BYTES:
            self._too_large = True
            raise HeadTooLarge
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Start the request."""
        self._reading, self._head_bytes = Awaits.BODY, 0
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Note the end of the body."""
        self._reading = Awaits.NEXT
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP, or has too much before its body."""
        if self._too_large:
            return self._refuse_head()
        return super().send_400_response(msg)

    def _refuse_head(self) -> None:
        limits = f"{MAX_HEADERS} headers and {MAX_HEAD_BYTES} bytes with the request line"
        self.refuse(431, f"A request may have {limits}.", "too_large")
