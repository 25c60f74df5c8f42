"""Routes of event streams: of one run, and of a whole project."""

from collections.abc import AsyncIterator, Callable
from typing import Annotated, Any, TypeVar

import anyio
from fastapi import APIRouter, Header, Query
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from service.api.dependencies import PrincipalDep, RunId, RuntimeDep
from service.db.access.principal import Principal
from service.errors import Invalid, Problem
from service.process.runtime import Runtime
from service.streaming.positions import ProjectPosition, RunPosition
from service.streaming.readers import Reader
from service.streaming.start import Start, project_start, run_start
from service.streaming.streams import ProjectStream, RunStream

router = APIRouter(prefix="/v1", tags=["runs"])
T = TypeVar("T")
ID = {"description": "the id of the last message received; the stream continues after it"}
Begin = Annotated[Start, Query(alias="from", description="where to start without an id")]
LastId = Annotated[str | None, Query(max_length=40, **ID)]
LastIdHeader = Annotated[str | None, Header(alias="Last-Event-ID", max_length=40, **ID)]


class EventStream(StreamingResponse):
    """Server-sent events; the stream itself sends heartbeats and ids."""

    media_type = "text/event-stream"


MESSAGE = {
    "type": "object",
    "description": "a message of the stream; data is JSON",
    "properties": {
        "id": {"type": "string"},
        "event": {"type": "string"},
        "data": {"type": "string", "contentMediaType": "application/json"},
        "retry": {"type": "integer"},
    },
}
STREAM: dict[int | str, dict[str, Any]] = {200: {"content": {"text/event-stream": {"schema": MESSAGE}}}}


@router.get("/runs/{run_id}/events", operation_id="stream_events", response_class=EventStream, responses=STREAM)
async def stream_events(
    run_id: RunId,
    principal: PrincipalDep,
    runtime: RuntimeDep,
    begin: Begin = "start",
    last_event_id: LastId = None,
    header: LastIdHeader = None,
) -> EventStream:
    """Stream `state`, `points`, `cut`, `checkpoint`, `reading`, `wish` and `end`, each with an id to resume from.

    `points` holds {series: {name: {step, value}}, upto}: every point up to that step has been sent. After `cut`, drop
    all points after its `from_step`: the run continues from there. `end` is the last message; close the stream then.
    Two messages have no id: `diagnosis`, {step, level, headline, findings: [{id, verdict, level}]}, follows a few
    seconds after the findings change; `dropped` says why the server closes early: reconnect with the last id.
    """
    last_position = _parse_position(RunPosition.parse, last_event_id, header)
    position = await anyio.to_thread.run_sync(
        run_start, runtime.engine, principal, run_id, last_position, begin, limiter=runtime.stream_threads
    )
    runtime.stream_limits.take(principal.credential)
    reader = runtime.broadcaster.follow(run_id, principal)
    stream = RunStream(runtime.engine, runtime.stream_threads, reader, principal, run_id, position)
    return _LimitedStream(stream.messages(), runtime, principal, reader)


@router.get("/events", operation_id="stream_project", response_class=EventStream, responses=STREAM)
async def stream_project(
    principal: PrincipalDep,
    runtime: RuntimeDep,
    begin: Begin = "latest",
    last_event_id: LastId = None,
    header: LastIdHeader = None,
) -> EventStream:
    """Stream the events of all runs of the project, each with run_id, experiment_id and an id to resume from.

    `runs`, without an id, holds {runs: [{run_id, experiment_id, state, step, total_steps, last}]}: at first all running
    runs, then those that progressed since the previous message. `reset` means that the given id is unknown to this
    database: read the list of runs again.
    """
    last_position = _parse_position(ProjectPosition.parse, last_event_id, header)
    position, reset = await anyio.to_thread.run_sync(
        project_start, runtime.engine, last_position, begin, limiter=runtime.stream_threads
    )
    runtime.stream_limits.take(principal.credential)
    reader = runtime.broadcaster.follow_project(principal)
    stream = ProjectStream(runtime.engine, runtime.stream_threads, reader, principal.project_id, position, reset)
    return _LimitedStream(stream.messages(), runtime, principal, reader)


def _parse_position(parse: Callable[[str], T | None], query: str | None, header: str | None) -> T | None:
    """Return the position of the reader, or None if it is new; raise `Invalid` if it is malformed.

    The header wins: a browser reconnects with its old address, and the header is newer.
    """
    text, pointer = (header, "/header/Last-Event-ID") if header else (query, "/query/last_event_id")
    if not text:
        return None
    position = parse(text)
    if position is None:
        raise Invalid.of([Problem(pointer, "bad_position", "send an id of this stream unchanged.")])
    return position


class _LimitedStream(EventStream):
    """Leaves the broadcaster and the stream limits when it ends."""

    def __init__(
        self, messages: AsyncIterator[str], runtime: Runtime, principal: Principal, reader: Reader[Any]
    ) -> None:
        super().__init__(messages, headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        self._runtime, self._credential, self._reader = runtime, principal.credential, reader

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            with self._reader.scope:  # cancelled if a dropped reader does not even receive the reason
                await super().__call__(scope, receive, send)
        finally:
            self._runtime.broadcaster.leave(self._reader)
            self._runtime.stream_limits.give_back(self._credential)
