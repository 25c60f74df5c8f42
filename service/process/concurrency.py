"""Turns at what there is little of: awaited outside of threads, so that those who wait keep nobody from going on."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial

import anyio
from anyio import CapacityLimiter

from service.errors import Unavailable


@asynccontextmanager
async def turn(places: anyio.Semaphore, wait_s: float, refusal: str) -> AsyncIterator[None]:
    """One of the places; `Unavailable` with the refusal where none gets free within `wait_s`."""
    try:
        with anyio.fail_after(wait_s):
            await places.acquire()
    except TimeoutError:
        raise Unavailable(refusal) from None
    try:
        yield
    finally:
        places.release()


async def one_by_one(parts: Iterator[bytes], threads: CapacityLimiter) -> AsyncIterator[bytes]:
    """The parts of an answer, each made in one of the threads: a slow reader holds none."""
    step = partial(next, parts, None)
    while (part := await anyio.to_thread.run_sync(step, limiter=threads)) is not None:
        yield part
