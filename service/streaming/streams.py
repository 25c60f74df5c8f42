"""The text of one reader's stream: it reads what it missed itself, then takes what the broadcaster hands out."""

from collections.abc import AsyncIterator, Callable
from typing import Generic, TypeVar

import anyio
from anyio import CapacityLimiter

from service.db.access.principal import Principal
from service.db.runs import runs, stream_queries
from service.db.session import Connection, Engine, snapshot
from service.errors import NotFound, Unavailable
from service.streaming.positions import ProjectPosition, RunPosition
from service.streaming.readers import Batch, Reader
from service.streaming.updates import MAX_EVENTS, Message, P, Updates, encode, project_message, read_updates

HEARTBEAT_S = 10.0  # between comments that show proxies and readers that the stream is alive
RECONNECT_MS = 1000  # how long readers wait before they connect again
RETRY_S = 0.5  # between two reads while the database is away
HEARTBEAT = ": alive\n\n"
T = TypeVar("T")


class Stream(Generic[P]):
    """What both kinds share: batches and heartbeats, reads of its own, and the reason for an early end."""

    def __init__(self, engine: Engine, threads: CapacityLimiter, reader: Reader[P], position: P) -> None:
        self._engine, self._threads = engine, threads
        self._reader: Reader[P] = reader
        self._position: P = position

    async def batches(self) -> AsyncIterator[Batch[P] | None]:
        """Yield the broadcaster's batches; None if nothing came for a while."""
        while True:
            batch = await self._reader.take(HEARTBEAT_S)
            if batch is None and self._reader.dropped is not None:
                return
            yield batch

    async def read(self, work: Callable[[Connection], T]) -> T | None:
        """Read from one snapshot, waiting while the database is away; None once the reader is dropped.

        A reader is better off waiting here than connecting again.
        """
        while self._reader.dropped is None:
            try:
                return await anyio.to_thread.run_sync(self._in_snapshot, work, limiter=self._threads)
            except Unavailable:
                await anyio.sleep(RETRY_S)
        return None

    def _in_snapshot(self, work: Callable[[Connection], T]) -> T:
        with snapshot(self._engine) as connection:
            return work(connection)

    def farewell(self) -> str:
        """Return the message with the reason; it has no id, so a reader resumes where it was."""
        return encode("dropped", {"reason": self._reader.dropped or "ending"})


class RunStream(Stream[RunPosition]):
    """The stream of one run, until the run ends."""

    def __init__(
        self,
        engine: Engine,
        threads: CapacityLimiter,
        reader: Reader[RunPosition],
        principal: Principal,
        run_id: str,
        position: RunPosition,
    ) -> None:
        super().__init__(engine, threads, reader, position)
        self._principal, self._run_id = principal, run_id
        self._ended = False

    async def messages(self) -> AsyncIterator[str]:
        """Yield messages until the run ends, the process ends, or the key does."""
        yield f"retry: {RECONNECT_MS}\n\n"
        async for text in self._catch_up():
            yield text
        if self._ended:
            return
        async for batch in self.batches():
            if batch is None:
                yield HEARTBEAT
                continue
            if batch.deleted:
                return
            if text := self._take(batch):
                yield text
            elif not self._ended and self._is_behind(batch):
                async for text in self._catch_up():
                    yield text
            if self._ended:
                return
        yield self.farewell()

    def _take(self, batch: Batch[RunPosition]) -> str:
        """Return the messages that follow on this reader's position; it may be ahead of some."""
        texts = []
        for message in batch.messages:
            if self._ended:
                break
            if message.after is None:
                texts.append(message.text)
            elif message.before == self._position:
                texts.append(message.text)
                self._position, self._ended = message.after, message.last
        return "".join(texts)

    def _is_behind(self, batch: Batch[RunPosition]) -> bool:
        """Return whether the broadcaster is ahead, and its messages do not lead this reader there."""
        return batch.position is not None and batch.position > self._position

    async def _catch_up(self) -> AsyncIterator[str]:
        """Yield what reads of its own find, until there is no more."""
        more = True
        while more:
            try:
                found = await self.read(self._read_updates)
            except NotFound:
                self._ended = True
                return
            if found is None:
                return
            self._position, self._ended, more = found.position, found.ended, found.more
            if found.messages:
                yield "".join(message.text for message in found.messages)

    def _read_updates(self, connection: Connection) -> Updates:
        runs.get(connection, self._principal, self._run_id)
        heads = stream_queries.run_progress(connection, [self._run_id])
        found = read_updates(connection, heads, {self._run_id: self._position})
        return found.get(self._run_id, Updates([], self._position, more=False))


class ProjectStream(Stream[ProjectPosition]):
    """The stream of all runs of a project; it has no end of its own."""

    def __init__(
        self,
        engine: Engine,
        threads: CapacityLimiter,
        reader: Reader[ProjectPosition],
        project_id: str,
        position: ProjectPosition,
        reset: bool,
    ) -> None:
        super().__init__(engine, threads, reader, position)
        self._project_id, self._reset = project_id, reset

    async def messages(self) -> AsyncIterator[str]:
        """Yield messages until the process ends or the key does."""
        yield f"retry: {RECONNECT_MS}\n\n"
        if self._reset:
            yield encode("reset", {}, self._position)
        async for text in self._catch_up():
            yield text
        async for batch in self.batches():
            if batch is not None and batch.first:
                async for text in self._catch_up():
                    yield text
            text = HEARTBEAT if batch is None else "".join(map(self._take, batch.messages))
            if text:
                yield text
        yield self.farewell()

    def _take(self, message: Message[ProjectPosition]) -> str:
        """Return the message's text unless this reader has it; summaries have no place in the order."""
        if message.after is None:
            return message.text
        if message.after <= self._position:
            return ""
        self._position = message.after
        return message.text

    async def _catch_up(self) -> AsyncIterator[str]:
        while (found := await self.read(self._read_events)) is not None:
            if text := "".join(map(self._take, found)):
                yield text
            if len(found) < MAX_EVENTS:
                return

    def _read_events(self, connection: Connection) -> list[Message[ProjectPosition]]:
        horizon = stream_queries.horizon(connection)
        known = [(self._project_id, *self._position)]
        found = stream_queries.of_projects(connection, known, horizon, MAX_EVENTS)
        return [project_message(event) for event in found.get(self._project_id, ())]
