"""Readers of streams, the batches they receive, and the channels they share."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Generic

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

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
    _send: MemoryObjectSendStream[Batch[P]]
    receive: MemoryObjectReceiveStream[Batch[P]]
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    dropped: str | None = None  # the reason

    @classmethod
    def open(cls, principal: Principal) -> "Reader[P]":
        """Return a new reader with an empty queue."""
        return cls(principal, *anyio.create_memory_object_stream[Batch[P]](MAX_QUEUED))

    def put(self, batch: Batch[P]) -> None:
        """Queue a batch; drop the reader if it is too far behind."""
        if self.dropped is None:
            try:
                self._send.send_nowait(batch)
            except anyio.WouldBlock:
                self.drop("slow")

    def drop(self, reason: str) -> None:
        """End the stream with a reason and forget what is queued."""
        if self.dropped is not None:
            return
        self.dropped = reason
        while True:
            try:
                self.receive.receive_nowait()
            except (anyio.WouldBlock, anyio.EndOfStream, anyio.ClosedResourceError):
                break
        self._send.close()
        self.scope.deadline = anyio.current_time() + DROP_S

    def close(self) -> None:
        """Close both ends of the queue."""
        self._send.close()
        self.receive.close()


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
