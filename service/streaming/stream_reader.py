"""One reader's stream: what it missed it looks up by itself, from then on it takes what the hub hands out."""

from collections.abc import AsyncIterator

import anyio
from anyio import CapacityLimiter

from service.db.access.projects import Principal
from service.db.runs import stream_queries
from service.db.session import Engine, snapshot
from service.errors import NotFound, Unavailable
from service.streaming.broadcaster import Portion, Reader, Told, project_told
from service.streaming.messages import ProjectPosition, written
from service.streaming.position import Look, Position, look

HEARTBEAT_S = 10.0  # a comment, so that proxies and readers know the stream is alive
RETRY_MS = 1000  # how long readers wait before they connect again
AGAIN_S = 0.5  # between two looks while the database is away
MOST = 500  # events of one look
ALIVE = ": alive\n\n"


class Stream:
    """What both kinds share: the greeting, the heartbeat, and the reason why it ends early."""

    def __init__(self, engine: Engine, threads: CapacityLimiter, reader: Reader) -> None:
        self._engine, self._threads, self._reader = engine, threads, reader

    async def portions(self) -> AsyncIterator[Portion | None]:
        """What the hub hands out; None when nothing has come for a while."""
        while True:
            try:
                with anyio.fail_after(HEARTBEAT_S):
                    portion = await self._reader.receive.receive()
            except TimeoutError:
                yield None
            except (anyio.EndOfStream, anyio.ClosedResourceError):
                return
            else:
                yield portion

    def farewell(self) -> str:
        """Without an id, so that a reader resumes where it was."""
        reason = self._reader.dropped or "ending"
        return f'event: dropped\ndata: {{"reason": "{reason}"}}\n\n'


class RunStream(Stream):
    """Of one run, until it ends."""

    def __init__(
        self,
        engine: Engine,
        threads: CapacityLimiter,
        reader: Reader,
        principal: Principal,
        run_id: str,
        position: Position,
    ) -> None:
        super().__init__(engine, threads, reader)
        self._principal, self._run_id, self._at = principal, run_id, position
        self._ended = False

    async def messages(self) -> AsyncIterator[str]:
        """Until the run ends, the process ends, or the key does."""
        yield f"retry: {RETRY_MS}\n\n"
        async for text in self._caught_up():
            yield text
        if self._ended:
            return
        async for portion in self.portions():
            if portion is None:
                yield ALIVE
                continue
            if portion.over:
                return
            if text := self._take(portion):
                yield text
            elif not self._ended and self._behind(portion):
                async for text in self._caught_up():
                    yield text
            if self._ended:
                return
        yield self.farewell()

    def _take(self, portion: Portion) -> str:
        """The messages that follow on what this reader has; it may have been ahead of them."""
        texts = []
        for told in portion.told:
            if told.after is None and not self._ended:
                texts.append(told.text)
            elif told.before == self._at and not self._ended:
                texts.append(told.text)
                self._at, self._ended = told.after, told.last
        return "".join(texts)

    def _behind(self, portion: Portion) -> bool:
        """Whether the hub knows something that its messages do not lead this reader to."""
        head: Position = portion.head
        return head.event > self._at.event or (head.event == self._at.event and head.step > self._at.step)

    async def _caught_up(self) -> AsyncIterator[str]:
        """What a look of its own finds, until there is no more."""
        while self._reader.dropped is None:
            try:
                found = await anyio.to_thread.run_sync(self._look, limiter=self._threads)
            except Unavailable:  # the reader is better off waiting here than connecting again
                await anyio.sleep(AGAIN_S)
                continue
            except NotFound:
                self._ended = True
                return
            self._at, self._ended = found.position, found.ended
            if found.told:
                yield "".join(written(each.kind, each.data, each.position) for each in found.told)
            if not found.more:
                return

    def _look(self) -> Look:
        with snapshot(self._engine) as connection:
            return look(connection, self._principal, self._run_id, self._at)


class ProjectStream(Stream):
    """Of all runs of a project; it has no end of its own."""

    def __init__(
        self,
        engine: Engine,
        threads: CapacityLimiter,
        reader: Reader,
        project_id: str,
        position: ProjectPosition,
        reset: bool,
    ) -> None:
        super().__init__(engine, threads, reader)
        self._project_id, self._at, self._reset = project_id, position, reset

    async def messages(self) -> AsyncIterator[str]:
        """Until the process ends or the key does."""
        yield f"retry: {RETRY_MS}\n\n"
        if self._reset:
            yield written("reset", {}, self._at)
        async for text in self._caught_up():
            yield text
        async for portion in self.portions():
            if portion is not None and portion.fresh:
                async for text in self._caught_up():
                    yield text
            text = ALIVE if portion is None else "".join(map(self._take, portion.told))
            if text:
                yield text
        yield self.farewell()

    def _take(self, told: Told) -> str:
        """Its text, unless this reader has it already; summaries have no place in the order."""
        if told.after is None:
            return told.text
        if told.after <= self._at:
            return ""
        self._at = told.after
        return told.text

    async def _caught_up(self) -> AsyncIterator[str]:
        while self._reader.dropped is None:
            try:
                found = await anyio.to_thread.run_sync(self._look, limiter=self._threads)
            except Unavailable:
                await anyio.sleep(AGAIN_S)
                continue
            text = "".join(map(self._take, found))
            if text:
                yield text
            if len(found) < MOST:
                return

    def _look(self) -> list[Told]:
        with snapshot(self._engine) as connection:
            before = stream_queries.horizon(connection)
            found = stream_queries.of_projects(connection, [(self._project_id, *self._at)], before, MOST)
        return [project_told(each) for each in found.get(self._project_id, ())]
