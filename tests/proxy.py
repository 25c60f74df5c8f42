"""A small reverse proxy that serves one server below a path, as a team's own would."""

import contextlib
import select
import socket
import socketserver
import threading
from collections.abc import Iterator


class Proxy(socketserver.ThreadingTCPServer):
    """Relays connections, one request each; whatever is not below the prefix is not there."""

    block_on_close = True  # `server_close` waits for every connection

    def __init__(self, port: int, prefix: str, strips: bool) -> None:
        super().__init__(("127.0.0.1", 0), Connection)
        self.upstream, self.prefix, self.strips = ("127.0.0.1", port), prefix.encode(), strips
        self.ending = threading.Event()


class Connection(socketserver.StreamRequestHandler):
    """One of them."""

    server: Proxy
    timeout = 5

    def handle(self) -> None:
        with contextlib.suppress(OSError):
            head = []
            while (line := self.rfile.readline()) not in (b"\r\n", b""):
                head.append(line)
            if not head:  # opened in advance, and never used
                return
            method, path, version = head[0].split(b" ")
            prefix = self.server.prefix
            if path != prefix and not path.startswith(prefix + b"/"):
                self.wfile.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                return
            if self.server.strips:
                path = path.removeprefix(prefix) or b"/"
            kept = [line for line in head[1:] if not line.lower().startswith(b"connection:")]
            length = next((int(line.split(b":")[1]) for line in kept if line.lower().startswith(b"content-length:")), 0)
            with socket.create_connection(self.server.upstream, 5) as upstream:
                asked = [b" ".join((method, path, version)), *kept, b"Connection: close\r\n\r\n"]
                upstream.sendall(b"".join(asked) + self.rfile.read(length))
                self.relay(upstream)

    def relay(self, upstream: socket.socket) -> None:
        """The answer as it comes, until it ends, its reader goes, or the proxy ends."""
        while not self.server.ending.is_set():
            ready = select.select([upstream, self.connection], [], [], 0.1)[0]
            if upstream in ready:
                if not (piece := upstream.recv(65536)):
                    return
                self.wfile.write(piece)
            elif ready:  # one request a connection: there is nothing else it could say
                return


@contextlib.contextmanager
def proxied(port: int, prefix: str, strips: bool) -> Iterator[str]:
    """The address below which the server at `port` is served; `strips`: it is asked without the prefix."""
    with Proxy(port, prefix, strips) as proxy:
        thread = threading.Thread(target=proxy.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{proxy.server_address[1]}{prefix}"
        finally:
            proxy.ending.set()
            proxy.shutdown()
            thread.join()
