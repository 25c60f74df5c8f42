"""The server: uvicorn on our own socket, in one process or several."""

import math
import socket
from typing import Any

import uvicorn
from fastapi import FastAPI
from uvicorn.supervisors import Multiprocess

from service.api.protocol import MAX_HEAD_BYTES, HttpProtocol
from service.process.request_log import RequestFormatter
from service.settings import Settings
from service.settings import settings as read_settings

GRACE_S = 4  # for open requests when the process is told to stop
LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "line": {"()": RequestFormatter, "format": "%(asctime)s %(levelname)s %(name)s: %(message)s"},
        "bare": {"format": "%(message)s"},
    },
    "handlers": {
        "stderr": {"class": "logging.StreamHandler", "formatter": "line"},
        "access": {"class": "logging.StreamHandler", "formatter": "bare"},
    },
    "loggers": {"saddle.access": {"handlers": ["access"], "propagate": False}},
    "root": {"handlers": ["stderr"], "level": "INFO"},
}


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket; raise `OSError` with advice if the address cannot be used."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=2048)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise OSError(f"cannot listen on {host}:{port} ({reason}): choose another --port or --host") from error


def configure(app: FastAPI | str, settings: Settings, **more: Any) -> uvicorn.Config:
    """Return uvicorn's configuration; `app` is an application, or the name of a function that returns it."""
    return uvicorn.Config(
        app,
        access_log=False,
        server_header=False,
        http=HttpProtocol,
        ws="none",
        proxy_headers=bool(settings.proxies),
        forwarded_allow_ips=settings.proxies,
        timeout_keep_alive=math.ceil(settings.idle_s),
        h11_max_incomplete_event_size=MAX_HEAD_BYTES,
        **more,
    )


def serve(listener: socket.socket, workers: int) -> int:
    """Run one server process, or several that share the socket, until stopped; return the exit status."""
    config = configure(
        "service.api.app:from_settings",
        read_settings(),
        factory=True,
        workers=workers,
        log_config=LOGGING,
        timeout_graceful_shutdown=GRACE_S,
    )
    if workers > 1:
        Multiprocess(config, [listener]).run()
        return 0
    server = uvicorn.Server(config)
    server.run([listener])
    return 0 if server.started else 3
