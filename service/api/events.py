"""The route of a run's events: a stream that ends with the run, and that a reader can take up again anywhere."""

import time
from collections.abc import AsyncIterator
from typing import Annotated, Literal

import anyio
from fastapi import APIRouter, Header, Query
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from service.api.deps import PrincipalDep, RunId, RuntimeDep
from service.api.following import Look, News, Position, look, newest
from service.api.runtime import Runtime
from service.db import projects, runs
from service.db.projects import Principal
from service.db.session import snapshot
from service.errors import Invalid, NotFound, Problem, Unavailable
from service.nonfinite import dumps

router = APIRouter(prefix="/v1/runs", tags=["runs"])
HEARTBEAT_S = 10.0  # a comment, so that proxies and readers know the stream is alive
KEY_S = 0.5  # between two looks whether the key still opens
RETRY_MS = 1000  # how long readers wait before they connect again
ID = {"description": "the id of the last message that was read; the stream goes on behind it"}


class EventStream(StreamingResponse):
    """Server-sent events that we write ourselves: heartbeats, ids and the end are ours."""

    media_type = "text/event-stream"


@router.get(
    "/{run_id}/events",
    operation_id="stream_events",
    response_class=EventStream,
    responses={200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}},
)
def stream_events(
    run_id: RunId,
    principal: PrincipalDep,
    runtime: RuntimeDep,
    begin: Annotated[Literal["start", "latest"], Query(alias="from", description="without a position")] = "start",
    last_event_id: Annotated[str | None, Query(max_length=40, **ID)] = None,
    header: Annotated[str | None, Header(alias="Last-Event-ID", max_length=40, **ID)] = None,
) -> EventStream:
    """Messages `state`, `points`, `cut`, `checkpoint`, `wish`, `end`, each with an id to resume from.

    `points` holds {series: {name: {step, value}}, upto}: every point up to that step is sent. After `cut`, drop what
    lies beyond its `from_step`: the run goes on from there. `end` is the last one; close then.
    """
    position = _given(last_event_id, "/query/last_event_id") or _given(header, "/header/Last-Event-ID")
    with snapshot(runtime.engine) as connection:
        runs.get(connection, principal, run_id)
        if position is None:
            position = newest(connection, principal, run_id) if begin == "latest" else Position()
    runtime.streams.take(principal.key_id)
    return _Counted(_Stream(runtime, principal, run_id, position), runtime, principal)


def _given(text: str | None, pointer: str) -> Position | None:
    """The position in `text`; an empty one is none, as a fresh reader may send it."""
    if not text:
        return None
    position = Position.parse(text)
    if position is None:
        raise Invalid.of([Problem(pointer, "bad_position", "give an id of this stream, as it was sent.")])
    return position


class _Counted(EventStream):
    """Gives its slot back however it ends."""

    def __init__(self, stream: "_Stream", runtime: Runtime, principal: Principal) -> None:
        super().__init__(stream.messages(), headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        self._runtime, self._key_id = runtime, principal.key_id

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._runtime.streams.give_back(self._key_id)


class _Stream:
    """One reader. It looks by itself; a poller that all readers share would take the place of `_look`."""

    def __init__(self, runtime: Runtime, principal: Principal, run_id: str, position: Position) -> None:
        self._runtime, self._principal, self._run_id = runtime, principal, run_id
        self._position = position
        self._key_asked = time.monotonic()

    async def messages(self) -> AsyncIterator[str]:
        """Until the run ends, the process ends, or the key does."""
        yield f"retry: {RETRY_MS}\n\n"
        spoken = time.monotonic()
        while not self._runtime.closing.is_set():
            try:
                found = await anyio.to_thread.run_sync(self._look, limiter=self._runtime.stream_threads)
            except Unavailable:  # the reader is better off waiting here than connecting again
                found = Look([], self._position, more=False, ended=False)
            except NotFound:  # the key is gone
                return
            self._position = found.position
            if found.news:
                yield "".join(map(_message, found.news))
                spoken = time.monotonic()
            elif time.monotonic() - spoken >= HEARTBEAT_S:
                yield ": alive\n\n"
                spoken = time.monotonic()
            if found.ended:
                return
            if not found.more:
                with anyio.move_on_after(self._runtime.settings.sse_poll_s):
                    await self._runtime.closing.wait()

    def _look(self) -> Look:
        with snapshot(self._runtime.engine) as connection:
            if time.monotonic() - self._key_asked >= KEY_S:
                self._key_asked = time.monotonic()
                if not projects.key_opens(connection, self._principal.key_id):
                    raise NotFound("The key is revoked.")
            return look(connection, self._principal, self._run_id, self._position)


def _message(news: News) -> str:
    """As the HTML standard writes a message; JSON has no line breaks."""
    return f"id: {news.position}\nevent: {news.kind}\ndata: {dumps(news.data)}\n\n"
