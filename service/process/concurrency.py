"""Turns at what there is little of: awaited outside of threads, so that those who wait keep nobody from going on."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial

import anyio
from anyio import CapacityLimiter

from service.errors import Unavailable


@asynccontextmanager
async def acquire_slot(slots: anyio.Semaphore, wait_s: float, refusal: str) -> AsyncIterator[None]:
    """One of the slots; `Unavailable` with the refusal where none gets free within `wait_s`."""
    try:
        with anyio.fail_after(wait_s):
            await slots.acquire()
    except TimeoutError:
        raise Unavailable(refusal) from None
    try:
        yield
    finally:
        slots.release()


async def iterate_in_threads(parts: Iterator[bytes], threads: CapacityLimiter) -> AsyncIterator[bytes]:
    """The parts of an answer, each made in one of the threads: a slow reader holds none."""
    step = partial(next, parts, None)
    while (part := await anyio.to_thread.run_sync(step, limiter=threads)) is not None:
        yield part
