"""The server: uvicorn on a socket of ours, in one process or several."""

import socket
from typing import Any

import uvicorn
from uvicorn.supervisors import Multiprocess

from service.api.protocol import HttpProtocol

GRACE_S = 4  # for requests that are under way when the process shall end
LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s: %(message)s"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["stderr"], "level": "INFO"},
}


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens; OSError with a sentence where the address is taken or not ours."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=2048)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise OSError(f"cannot listen on {host}:{port} ({reason}): choose another --port or --host") from error


def serve(listener: socket.socket, workers: int) -> int:
    """Run the server, or several that share the socket, until told to end; 0 after a clean end."""
    config = uvicorn.Config(
        "service.api.app:from_settings",
        factory=True,
        workers=workers,
        access_log=False,
        log_config=LOGGING,
        timeout_graceful_shutdown=GRACE_S,
        server_header=False,
        http=HttpProtocol,
        ws="none",
    )
    if workers > 1:
        Multiprocess(config, [listener]).run()
        return 0
    server = uvicorn.Server(config)
    server.run([listener])
    return 0 if server.started else 3
