"""One connection to the server: HTTP/1.1 by httptools, HTTP/1.0 by h11.

uvicorn's httptools sends every answer without a length in chunks, which HTTP/1.0 does not have (RFC 9112, 6.1); its h11
ends such an answer with the connection. h11 is slower, and only old clients and some proxies speak HTTP/1.0.
"""

from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_LINE_BYTES = 64 * 1024  # of a request: method, path and version


class HttpProtocol(HttpToolsProtocol):
    """Looks at the first line of the connection, then leaves it to one of the two."""

    _first: bytes | None = b""  # what came before the first line's end; None once it has

    def data_received(self, data: bytes) -> None:
        """The next bytes of the connection."""
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
