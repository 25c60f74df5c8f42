"""A connection to the server: HTTP/1.1 by httptools, HTTP/1.0 by h11.

uvicorn's httptools sends every response without a length in chunks, which HTTP/1.0 lacks (RFC 9112, 6.1); its h11
closes the connection after such a response. h11 is slower, but only old clients and some proxies use HTTP/1.0.
"""

from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_LINE_BYTES = 64 * 1024  # of a request: method, path and version


class HttpProtocol(HttpToolsProtocol):
    """Reads the first line of the connection, then hands it to the protocol of its version."""

    _first: bytes | None = b""  # bytes of the first line so far; None once it is complete

    def data_received(self, data: bytes) -> None:
        """Handle the next bytes of the connection."""
        if self._first is None:
            return super().data_received(data)
        self._first = (self._first + data).lstrip(b"\r\n")
        line, end, _ = self._first.partition(b"\n")
        if not end and len(line) < MAX_LINE_BYTES:
            return None
        received, self._first = self._first, None
        if not line.rstrip().endswith(b"HTTP/1.0"):
            return super().data_received(received)
        self.connections.discard(self)
        other = H11Protocol(self.config, self.server_state, self.app_state, self.loop)
        other.connection_made(self.transport)
        self.transport.set_protocol(other)
        other.data_received(received)
        return None
