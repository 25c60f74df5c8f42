"""What routes ask for by type: the principal, a transaction, a body, ids.

What only looks something up is `async`: FastAPI sends every plain function to a thread, half a millisecond each.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Annotated, Any, TypeVar

import anyio
from fastapi import Depends, Path, Request
from fastapi.concurrency import contextmanager_in_threadpool
from fastapi.dependencies.models import Dependant
from pydantic import BaseModel

from service.api.body import raw_body
from service.db.access.projects import Principal
from service.db.session import Connection, autocommit, transaction
from service.errors import Invalid, Problem
from service.experiments.context import Context
from service.process.concurrency import acquire_slot
from service.process.runtime import Runtime
from service.spec.parse import document
from service.spec.parse.presets import preset_documents
from service.spec.validation_errors import closest, escape_key

M = TypeVar("M", bound=BaseModel)
T = TypeVar("T")
SLOT_TIMEOUT_S = 5.0  # for a turn at the database


async def _runtime(request: Request) -> Runtime:
    runtime: Runtime = request.state.runtime
    return runtime


async def _principal(request: Request) -> Principal:
    """The one that the guard found."""
    principal: Principal = request.state.principal
    return principal


RuntimeDep = Annotated[Runtime, Depends(_runtime)]
PrincipalDep = Annotated[Principal, Depends(_principal)]


def _database_slot(runtime: Runtime) -> AbstractAsyncContextManager[None]:
    """A turn at the database: those that hold one need a thread to go on."""
    return acquire_slot(runtime.route_slots, SLOT_TIMEOUT_S, "Too many requests wait for the database.")


async def _connection(runtime: RuntimeDep) -> AsyncIterator[Connection]:
    """A transaction."""
    async with _database_slot(runtime), contextmanager_in_threadpool(transaction(runtime.engine)) as connection:
        yield connection


async def read_in_thread(runtime: Runtime, work: Callable[[Connection], T]) -> T:
    """`work` in one thread that only reads: a dependency of its own would take three turns of a thread for it."""

    def look() -> T:
        with autocommit(runtime.engine) as connection:
            return work(connection)

    async with _database_slot(runtime):
        return await anyio.to_thread.run_sync(look)


open_transaction = asynccontextmanager(_connection)  # for what has long work to do once it has read

# Function scope: the commit comes before the response, so nobody holds a 201 for a row that was never there.
ConnectionDep = Annotated[Connection, Depends(_connection, scope="function")]


def _context(runtime: RuntimeDep, principal: PrincipalDep, connection: ConnectionDep) -> Context:
    return Context(connection, principal, runtime.settings)


ContextDep = Annotated[Context, Depends(_context)]


def body(model: type[M]) -> Callable[[bytes], M]:
    """A dependency that reads the body as `model`; plain `def`, so that parsing stays off the event loop."""

    def parsed(raw: Annotated[bytes, Depends(raw_body)]) -> M:
        return document.validate(model, document.read_json(raw))

    return parsed


def optional_body(model: type[M]) -> Callable[[Request], Awaitable[M]]:
    """Like `body`, for a model whose every field has a default: no body at all is an empty one."""

    async def parsed(request: Request) -> M:
        headers = request.headers
        if "transfer-encoding" not in headers and headers.get("content-length", "0") == "0":
            return model()
        raw = await raw_body(request)
        return await anyio.to_thread.run_sync(lambda: document.validate(model, document.read_json(raw)))

    return parsed


def _document(raw: Annotated[bytes, Depends(raw_body)]) -> Any:
    return document.read_json(raw)


Document = Annotated[Any, Depends(_document)]  # the body as JSON, not yet looked at


def preset_schema() -> dict[str, Any]:
    """The schema of a document that starts from a preset."""
    names = {
        "type": "string",
        "enum": sorted(preset_documents()),
        "description": "start from it; the rest says what differs",
    }
    return {"type": "object", "required": ["preset"], "properties": {"preset": names}}


def request_body(model: type[BaseModel], *others: dict[str, Any], required: bool = True) -> dict[str, Any]:
    """What the OpenAPI document says of a route that reads `model`, or what one of the other schemas describes."""
    schema: dict[str, Any] = {"$ref": f"#/components/schemas/{model.__name__}"}
    if others:
        schema = {"anyOf": [schema, *others]}
    return {"requestBody": {"required": required, "content": {"application/json": {"schema": schema}}}}


def query_names(asked: Dependant) -> list[str]:
    """The query parameters of a route and of all that it depends on: as the OpenAPI document has them, without it."""
    names = [str(each.alias) for each in asked.query_params]
    return list(dict.fromkeys([*names, *(name for each in asked.dependencies for name in query_names(each))]))


async def check_query_parameters(request: Request) -> None:
    """Refuse query parameters that the route does not document, repeated ones, and characters that no text holds."""
    if not request.query_params:
        return
    known = query_names(request.scope["route"].dependant)
    given = [name for name, _ in request.query_params.multi_items()]
    found = []
    for name in dict.fromkeys(given):
        pointer = f"/query/{escape_key(name)}"
        if name not in known:
            found.append(
                Problem(
                    pointer,
                    "unknown_parameter",
                    "there is no such parameter.",
                    known or None,
                    closest(name, known),
                )
            )
        elif given.count(name) > 1:
            found.append(Problem(pointer, "repeated", "give it once."))
        elif "\x00" in request.query_params[name]:
            found.append(Problem(pointer, "bad_character", "it holds the character NUL: leave it out."))
    if found:
        raise Invalid.of(found)


def _id(prefix: str) -> Any:
    return Path(pattern=f"^{prefix}_[0-9a-hjkmnp-tv-z]{{26}}$")


ExperimentId = Annotated[str, _id("exp")]
RunId = Annotated[str, _id("run")]
ComparisonId = Annotated[str, _id("cmp")]
