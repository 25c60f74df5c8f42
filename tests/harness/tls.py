"""TLS before the embedded servers, which were built without it: what a client on another host sees of them."""

import contextlib
import os
import select
import socket
import socketserver
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

CERTIFICATES = Path(__file__).resolve().parents[2] / "worker" / "hosts" / "certificates.sh"


def make_certificates(folder: Path, host: str) -> Path:
    """Make an authority and a certificate for a host as a deployment does; return the folder."""
    folder.mkdir(exist_ok=True)
    environment = os.environ | {"SADDLE_HOST": host}
    subprocess.run(["sh", CERTIFICATES, folder], env=environment, check=True, capture_output=True)
    return folder


class Door(socketserver.ThreadingTCPServer):
    """Relays TLS connections to a socket; one for Postgres first answers its client's request for TLS."""

    daemon_threads = True

    def __init__(self, upstream: Path, certificates: Path, postgres: bool) -> None:
        super().__init__(("127.0.0.1", 0), Visitor)
        self.upstream, self.postgres = str(upstream), postgres
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(certificates / "server.crt", certificates / "server.key")

    @property
    def port(self) -> int:
        return int(self.server_address[1])


class Visitor(socketserver.BaseRequestHandler):
    """One connection."""

    server: Door

    def handle(self) -> None:
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as upstream:  # ssl's errors are OSErrors
            if self.server.postgres:
                self.request.recv(8)  # SSLRequest
                self.request.sendall(b"S")
            with self.server.context.wrap_socket(self.request, server_side=True) as client:
                upstream.connect(self.server.upstream)
                relay(client, upstream)


def relay(client: ssl.SSLSocket, upstream: socket.socket) -> None:
    """Pass bytes on in both directions until one side ends."""
    while True:
        ready = [client] if client.pending() else select.select([client, upstream], [], [])[0]
        for source, sink in ((client, upstream), (upstream, client)):
            if source in ready:
                if not (piece := source.recv(65536)):
                    return
                sink.sendall(piece)


@contextlib.contextmanager
def tls_before(upstream: Path, certificates: Path, postgres: bool = False) -> Iterator[int]:
    """Yield the port of 127.0.0.1 at which a server is reached over TLS."""
    with Door(upstream, certificates, postgres) as door:
        thread = threading.Thread(target=door.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield door.port
        finally:
            door.shutdown()
            thread.join()
