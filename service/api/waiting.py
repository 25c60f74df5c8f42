"""Answers of routes that queue a job and wait a while for its end."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol, TypeVar

import anyio
from fastapi import Request, Response

from service.api.dependencies import read_in_thread
from service.db.access.principal import Principal
from service.db.session import Connection
from service.experiments.context import Made
from service.lifecycle import TERMINAL, State
from service.process.runtime import Runtime

FIRST_PAUSE_S, MAX_PAUSE_S = 0.05, 0.5  # between two looks


class Job(Protocol):
    """The interface of a job as it is sent."""

    @property
    def state(self) -> State:
        """Its state."""


J = TypeVar("J", bound=Job)


@contextmanager
def counted_as_stream(runtime: Runtime, principal: Principal) -> Iterator[None]:
    """Count a request that waits among the streams of its key; raise `TooMany` for one more than allowed."""
    runtime.stream_limits.take(principal.credential)
    try:
        yield
    finally:
        runtime.stream_limits.give_back(principal.credential)


async def until_ended(
    request: Request, response: Response, made: Made[J], look: Callable[[Connection], J], seconds: float
) -> J:
    """Have workers told of a job, and return it once it has ended, or as it is after so many seconds: then it is 202.

    Call it after the commit.
    """
    runtime: Runtime = request.state.runtime
    for pool, count in made.queued:
        await runtime.dispatcher.notify(pool, count)
    found, until, pause = made.answer, time.monotonic() + seconds, FIRST_PAUSE_S
    with request.state.visit.outside():
        while found.state not in TERMINAL and time.monotonic() < until and not runtime.shutting_down.is_set():
            await anyio.sleep(pause)
            pause = min(2 * pause, MAX_PAUSE_S)
            found = await read_in_thread(runtime, request.state.principal, look)
    response.headers["Location"] = made.location
    response.status_code = 200 if found.state in TERMINAL else 202
    return found
