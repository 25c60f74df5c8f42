"""Limits on scarce resources; requests wait for them on the event loop, so a waiting request holds no thread."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial

import anyio
from anyio import CapacityLimiter

from service.errors import Unavailable


@asynccontextmanager
async def acquire_slot(slots: anyio.Semaphore, wait_s: float, refusal: str) -> AsyncIterator[None]:
    """Hold one of the slots; raise `Unavailable` with `refusal` if none is free within `wait_s`."""
    try:
        slots.acquire_nowait()  # without the cost of a deadline
    except anyio.WouldBlock:
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
    """Yield the parts of a response, each made in one of `threads`; a slow reader holds no thread."""
    step = partial(next, parts, None)
    while (part := await anyio.to_thread.run_sync(step, limiter=threads)) is not None:
        yield part
