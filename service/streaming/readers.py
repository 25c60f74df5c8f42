"""Readers of streams, the batches they receive, and the channels they share."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Generic

import anyio

from service.db.access.principal import Principal
from service.diagnosis.diagnose_run import DiagnosisEvent
from service.streaming.updates import Message, P

MAX_QUEUED = 64  # batches that a reader may be behind before it is dropped
DROP_S = 5.0  # until a dropped reader that does not take even the reason is cut off


@dataclass(frozen=True)
class Batch(Generic[P]):
    """What one poll found for a channel, and the channel's position after it."""

    messages: Sequence[Message[P]]
    position: P | None
    first: bool = False  # the channel's first poll: a reader may have read the database before it
    deleted: bool = False  # the run is gone


@dataclass(eq=False)
class Reader(Generic[P]):
    """One open stream."""

    principal: Principal
    _queue: "asyncio.Queue[Batch[P] | None]" = field(default_factory=asyncio.Queue)  # None: a heartbeat, or the end
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    dropped: str | None = None  # the reason

    def put(self, batch: Batch[P]) -> None:
        """Queue a batch; drop the reader if it is too far behind."""
        if self.dropped is None:
            if self._queue.qsize() < MAX_QUEUED:
                self._queue.put_nowait(batch)
            else:
                self.drop("slow")

    async def take(self, patience_s: float) -> Batch[P] | None:
        """Return the next batch; None if none comes for `patience_s`, or the reader is dropped.

        A timer costs a third of a cancel scope, and readers wait a thousand times a second.
        """
        if self._queue.empty() and self.dropped is None:
            timer = asyncio.get_running_loop().call_later(patience_s, self._queue.put_nowait, None)
            try:
                return await self._queue.get()
            finally:
                timer.cancel()
        return None if self._queue.empty() else self._queue.get_nowait()

    def drop(self, reason: str) -> None:
        """End the stream with a reason and forget what is queued."""
        if self.dropped is not None:
            return
        self.dropped = reason
        while not self._queue.empty():
            self._queue.get_nowait()
        self._queue.put_nowait(None)
        self.scope.deadline = anyio.current_time() + DROP_S


@dataclass(eq=False)
class Channel(Generic[P]):
    """The readers of one run or project, and the position they were sent; None before the first poll."""

    readers: set[Reader[P]] = field(default_factory=set)
    position: P | None = None
    diagnosed_at: P | None = None  # the position of the last diagnosis
    diagnosis: DiagnosisEvent | None = None

    def publish(self, batch: Batch[P]) -> None:
        """Queue a batch for every reader."""
        for reader in self.readers:
            reader.put(batch)
