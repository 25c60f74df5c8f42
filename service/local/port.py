"""The API's port: free, or refused with a sentence."""

import errno
import socket
import time

from service.local.failure import CannotStart


def wait_for_port(port: int, patience: float) -> None:
    """Refuse a port somebody else has; after a killed start wait for its API to end."""
    deadline = time.monotonic() + patience
    while True:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
                return
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    why = f"port {port} cannot be used ({error.strerror})"
                    raise CannotStart(f"{why}; choose another one with --port") from error
                if time.monotonic() >= deadline:
                    why = f"port {port} is in use by another program"
                    raise CannotStart(f"{why}; choose a free one, for example --port {free_port()}") from error
        time.sleep(0.1)


def free_port() -> int:
    """A port nobody uses at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
