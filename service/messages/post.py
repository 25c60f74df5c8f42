"""POST to a URL that somebody gave: only to the address that was checked, within limits, and without redirects.

Imported when the first message is sent: the API's start does not wait for ssl.
"""

import http.client
import socket
import ssl
import threading
import time
from collections.abc import Mapping
from functools import cache

from service.messages.destinations import Destination, IpAddress, Refused, parse_url, resolve
from service.messages.outcome import Outcome, printable

TIMEOUT_S = 10.0  # of everything together, from connecting to the end of the answer
MAX_ANSWER = 4096  # bytes that are read
GONE = 410


@cache
def _tls() -> ssl.SSLContext:
    return ssl.create_default_context()


class _Pinned(http.client.HTTPConnection):
    """A connection to one address, whatever the host's name means now; the certificate is checked by the name."""

    def __init__(self, to: Destination, address: IpAddress) -> None:
        super().__init__(to.host, to.port, timeout=TIMEOUT_S)
        self._to, self._address = to, str(address)

    def connect(self) -> None:
        """Connect to the address."""
        self.sock: socket.socket = socket.create_connection((self._address, self._to.port), TIMEOUT_S)
        if self._to.secure:
            held = _tls().wrap_socket(self.sock, server_hostname=self._to.host, do_handshake_on_connect=False)
            self.sock = held  # before the handshake, so that it can be cut
            held.do_handshake()

    def cut(self) -> None:
        """End whatever it waits for, from another thread."""
        if self.sock is not None:
            try:
                socket.socket.shutdown(self.sock, socket.SHUT_RDWR)
            except OSError:  # it has ended by itself
                return


def post(url: str, body: bytes, headers: Mapping[str, str], networks: str) -> Outcome:
    """Send the body once; any 2xx is a success."""
    try:
        to = parse_url(url)
        address = resolve(to, networks)
    except Refused as refusal:
        return Outcome(False, detail=f"{refusal}.")
    began, connection = time.monotonic(), _Pinned(to, address)
    clock = threading.Timer(TIMEOUT_S, connection.cut)
    clock.daemon = True
    clock.start()
    try:
        given = {"Host": to.netloc, "User-Agent": "saddle", "Content-Type": "application/json", **headers}
        connection.request("POST", to.target, body, given)
        answer = connection.getresponse()
        said = printable(answer.read(MAX_ANSWER).decode("utf-8", "replace"))
    except (OSError, http.client.HTTPException) as error:
        late = time.monotonic() - began >= TIMEOUT_S
        return Outcome(False, detail=f"no answer within {TIMEOUT_S:g} s." if late else _failure(error))
    finally:
        clock.cancel()
        connection.close()
    if 300 <= answer.status < 400:
        return Outcome(False, answer.status, "it redirects, which is not followed: give the address that it means.")
    return Outcome(200 <= answer.status < 300, answer.status, said or None, gone=answer.status == GONE)


def _failure(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return f"the TLS connection failed: {printable(error.reason or str(error))}."
    if isinstance(error, http.client.HTTPException):
        return f"the answer is no HTTP ({type(error).__name__})."
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return f"the connection failed: {printable(reason)}."
