"""Checks of the API's TCP port."""

import errno
import socket
import time

from service.local.failure import CannotStart


def wait_for_port(port: int, patience: float, host: str = "127.0.0.1") -> None:
    """Wait up to `patience` seconds for the API of a killed start; raise `CannotStart` if the port is still in use."""
    deadline = time.monotonic() + patience
    while True:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
                return
            except OSError as error:
                if error.errno in (errno.EADDRNOTAVAIL, None) or isinstance(error, socket.gaierror):
                    raise CannotStart(f"this machine has no address {host}; choose another one with --host") from error
                if error.errno != errno.EADDRINUSE:
                    why = f"port {port} cannot be used ({error.strerror})"
                    raise CannotStart(f"{why}; choose another one with --port") from error
                if time.monotonic() >= deadline:
                    why = f"port {port} is in use by another program"
                    raise CannotStart(f"{why}; choose a free one, for example --port {find_free_port()}") from error
        time.sleep(0.1)


def find_free_port() -> int:
    """Return a port that is not in use now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
