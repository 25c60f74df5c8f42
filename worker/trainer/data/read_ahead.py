"""Reading ahead: the rows of coming updates are read on a thread while the current one is computed.

What is read depends on the update's number alone, so reading ahead changes no value, and a resumed run needs to know
nothing about it.
"""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

T = TypeVar("T")
DEPTH = 2  # batches in memory besides the current one


class ReadAhead(Generic[T]):
    """Calls `read` for up to `DEPTH` updates beyond the one taken last, none after `last`."""

    def __init__(self, read: Callable[[int], T], last: int) -> None:
        self._read, self._last = read, last
        self._thread = ThreadPoolExecutor(1, "read-ahead")
        self._coming: dict[int, Future[T]] = {}

    def take(self, step: int) -> T:
        """Return the rows of update `step`, or raise the error of reading them."""
        ready = self._coming.pop(step, None)
        wanted = range(step + 1, min(step + DEPTH, self._last) + 1)
        for unwanted in self._coming.keys() - set(wanted):
            self._coming.pop(unwanted).cancel()
        for later in wanted:
            if later not in self._coming:
                self._coming[later] = self._thread.submit(self._read, later)
        return self._read(step) if ready is None else ready.result()

    def close(self) -> None:
        """End the thread once the read under way is done."""
        self._coming.clear()
        self._thread.shutdown(cancel_futures=True)
