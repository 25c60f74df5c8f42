"""Notice a shutdown early: streams must end before the server waits for its connections."""

import asyncio
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import anyio

SIGNALS = (signal.SIGTERM, signal.SIGINT)


@contextmanager
def set_on_signal(shutting_down: anyio.Event) -> Iterator[None]:
    """Set the event when a signal comes, then call the server's own handler; only the main thread gets signals."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    server_handlers = {number: signal.getsignal(number) for number in SIGNALS}

    def handle(number: int, frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(shutting_down.set)
        handler = server_handlers[signal.Signals(number)]
        if callable(handler):
            handler(number, frame)

    for number in SIGNALS:
        signal.signal(number, handle)
    try:
        yield
    finally:
        for number, handler in server_handlers.items():
            signal.signal(number, handler)
