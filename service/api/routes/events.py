"""The routes of streams: of one run, from any position to its end, and of all that happens in a project."""

from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal

import anyio
from fastapi import APIRouter, Header, Query
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from service.api.dependencies import PrincipalDep, RunId, RuntimeDep
from service.api.runtime import Runtime
from service.db.access.projects import Principal
from service.db.runs import runs, stream_queries
from service.db.session import snapshot
from service.errors import Invalid, Problem
from service.streaming.broadcaster import Reader
from service.streaming.messages import ProjectPosition
from service.streaming.position import Position, newest
from service.streaming.stream_reader import ProjectStream, RunStream

router = APIRouter(prefix="/v1", tags=["runs"])
ID = {"description": "the id of the last message that was read; the stream goes on behind it"}
Begin = Annotated[Literal["start", "latest"], Query(alias="from", description="without a position")]
LastId = Annotated[str | None, Query(max_length=40, **ID)]
LastIdHeader = Annotated[str | None, Header(alias="Last-Event-ID", max_length=40, **ID)]


class EventStream(StreamingResponse):
    """Server-sent events that we write ourselves: heartbeats, ids and the end are ours."""

    media_type = "text/event-stream"


MESSAGE = {
    "type": "object",
    "description": "one message of the stream; data is JSON",
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
    """Messages `state`, `points`, `cut`, `checkpoint`, `reading`, `wish`, `end`, each with an id to resume from.

    `points` holds {series: {name: {step, value}}, upto}: every point up to that step is sent. After `cut`, drop what
    lies beyond its `from_step`: the run goes on from there. `end` is the last one; close then. Without an id come
    `diagnosis`, {step, level, headline, findings: [{id, verdict, level}]}, a few seconds after the rules find something
    else than before, and `dropped`, which tells why the server closes before: connect again with the last id.
    """
    given = _one_of(last_event_id, header)
    position = None if given is None else Position.parse(given[0])
    if given is not None and position is None:
        raise _no_position(given[1])

    def start() -> Position:
        with snapshot(runtime.engine) as connection:
            runs.get(connection, principal, run_id)
            if position is None and begin == "latest":
                return newest(connection, principal, run_id)
        return position or Position()

    at = await anyio.to_thread.run_sync(start, limiter=runtime.stream_threads)
    runtime.streams.take(principal.key_id)
    reader = runtime.hub.follow(run_id, principal)
    stream = RunStream(runtime.engine, runtime.stream_threads, reader, principal, run_id, at)
    return _Counted(stream.messages(), runtime, principal, reader)


@router.get("/events", operation_id="stream_project", response_class=EventStream, responses=STREAM)
async def stream_project(
    principal: PrincipalDep,
    runtime: RuntimeDep,
    begin: Begin = "latest",
    last_event_id: LastId = None,
    header: LastIdHeader = None,
) -> EventStream:
    """What happens to all runs of the project: their events, each with its run_id, its
    experiment_id and an id to resume from.

    Between them `runs`, without an id: {runs: [{run_id, experiment_id, state, step, total_steps, last}]} of those
    running runs that have moved since the message before; all of them at the beginning. `reset` says that the id given
    is not of this database: read the list of runs anew.
    """
    given = _one_of(last_event_id, header)
    position = None if given is None else ProjectPosition.parse(given[0])
    if given is not None and position is None:
        raise _no_position(given[1])

    def start() -> tuple[ProjectPosition, bool]:
        with snapshot(runtime.engine) as connection:
            now = ProjectPosition(stream_queries.horizon(connection), 0)
        if position is None:
            return (now if begin == "latest" else ProjectPosition()), False
        return (now, True) if position.xid > now.xid else (position, False)

    at, reset = await anyio.to_thread.run_sync(start, limiter=runtime.stream_threads)
    runtime.streams.take(principal.key_id)
    reader = runtime.hub.follow_project(principal)
    stream = ProjectStream(runtime.engine, runtime.stream_threads, reader, principal.project_id, at, reset)
    return _Counted(stream.messages(), runtime, principal, reader)


def _one_of(query: str | None, header: str | None) -> tuple[str, str] | None:
    """The position given and where; an empty one is none, as a fresh reader may send it.

    A browser connects again with the address it had: the header is where it was by then.
    """
    if header:
        return header, "/header/Last-Event-ID"
    return (query, "/query/last_event_id") if query else None


def _no_position(pointer: str) -> Invalid:
    return Invalid.of([Problem(pointer, "bad_position", "give an id of this stream, as it was sent.")])


class _Counted(EventStream):
    """Gives its slot and its place in the hub back however it ends."""

    def __init__(self, messages: AsyncIterator[str], runtime: Runtime, principal: Principal, reader: Reader) -> None:
        super().__init__(messages, headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        self._runtime, self._key_id, self._reader = runtime, principal.key_id, reader

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            with self._reader.scope:  # cancelled where a dropped reader does not even take the reason
                await super().__call__(scope, receive, send)
        finally:
            self._runtime.hub.leave(self._reader)
            self._runtime.streams.give_back(self._key_id)
