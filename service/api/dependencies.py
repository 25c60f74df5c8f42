"""Dependencies of routes: the principal, a transaction, a body, ids.

Cheap lookups are `async`, because FastAPI runs every plain function in a thread, which costs half a millisecond.
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
from service.api.one_thread import Deferred
from service.db.access.principal import Principal
from service.db.session import EVERY_PROJECT, NO_PROJECT, Connection, autocommit, transaction
from service.errors import Invalid, Problem
from service.experiments.context import Context
from service.process.concurrency import acquire_slot
from service.process.runtime import Runtime
from service.spec.parse import document
from service.spec.parse.presets import preset_documents
from service.spec.validation_errors import closest, escape_key

M = TypeVar("M", bound=BaseModel)
T = TypeVar("T")
SLOT_TIMEOUT_S = 5.0  # for a database slot


async def _runtime(request: Request) -> Runtime:
    runtime: Runtime = request.state.runtime
    return runtime


async def _principal(request: Request) -> Principal:
    """Return the principal that the authentication middleware found."""
    principal: Principal = request.state.principal
    return principal


RuntimeDep = Annotated[Runtime, Depends(_runtime)]
PrincipalDep = Annotated[Principal, Depends(_principal)]


def _database_slot(runtime: Runtime) -> AbstractAsyncContextManager[None]:
    """Hold one of the slots for requests that use the database."""
    return acquire_slot(runtime.route_slots, SLOT_TIMEOUT_S, "Too many requests wait for the database.")


@asynccontextmanager
async def open_transaction(runtime: Runtime, project_id: str = EVERY_PROJECT) -> AsyncIterator[Connection]:
    """Open a transaction that reaches one project, for routes that go on without the connection."""
    opened = transaction(runtime.engine, project_id)
    async with _database_slot(runtime), contextmanager_in_threadpool(opened) as connection:
        yield connection


async def _connection(runtime: RuntimeDep, request: Request) -> AsyncIterator[Deferred[Connection]]:
    """Hold a slot for a transaction that reaches what the request may, see `service.api.access`."""
    async with _database_slot(runtime):
        yield Deferred(transaction(runtime.engine, request.state.reach), lambda connection: connection)


async def read_in_thread(runtime: Runtime, principal: Principal, work: Callable[[Connection], T]) -> T:
    """Run the read-only `work` with a connection in one thread, without a transaction."""

    def read() -> T:
        with autocommit(runtime.engine, principal.project_id or NO_PROJECT) as connection:
            return work(connection)

    async with _database_slot(runtime):
        return await anyio.to_thread.run_sync(read)


# Function scope: the commit precedes the response, so a 201 always means that the row exists.
ConnectionDep = Annotated[Connection, Depends(_connection, scope="function")]  # for routes of `OneThread`
DeferredDep = Annotated[Deferred[Connection], Depends(_connection, scope="function")]  # for dependencies of theirs


async def _context(runtime: RuntimeDep, principal: PrincipalDep, opened: DeferredDep) -> Deferred[Context]:
    return opened.then(lambda connection: Context(connection, principal, runtime.settings))


ContextDep = Annotated[Context, Depends(_context)]


def body(model: type[M], limits: document.Limits = document.SETTINGS) -> Callable[[bytes], M]:
    """Return a dependency that parses the body as `model`, in a thread so that the event loop stays free."""

    def parse(raw: Annotated[bytes, Depends(raw_body)]) -> M:
        return document.validate(model, document.read_json(raw, limits), limits)

    return parse


def optional_body(model: type[M]) -> Callable[[Request], Awaitable[M]]:
    """Like `body`, for a model whose fields all have defaults: no body counts as an empty one."""

    async def parse(request: Request) -> M:
        headers = request.headers
        if "transfer-encoding" not in headers and headers.get("content-length", "0") == "0":
            return model()
        raw = await raw_body(request)
        return await anyio.to_thread.run_sync(lambda: document.validate(model, document.read_json(raw)))

    return parse


def _document(raw: Annotated[bytes, Depends(raw_body)]) -> Any:
    return document.read_json(raw)


Document = Annotated[Any, Depends(_document)]  # the body as JSON, not yet validated


def preset_schema() -> dict[str, Any]:
    """Return the schema of a document that starts from a preset."""
    names = {
        "type": "string",
        "enum": sorted(preset_documents()),
        "description": "the preset to start from; the other fields override its own",
    }
    return {"type": "object", "required": ["preset"], "properties": {"preset": names}}


def json_body(model: type[BaseModel], *others: dict[str, Any], required: bool = True) -> dict[str, Any]:
    """Return the OpenAPI request body of a route that reads `model` or one of the `others` (JSON Schemas)."""
    schema: dict[str, Any] = {"$ref": f"#/components/schemas/{model.__name__}"}
    if others:
        schema = {"anyOf": [schema, *others]}
    return {"requestBody": {"required": required, "content": {"application/json": {"schema": schema}}}}


def query_names(dependant: Dependant) -> list[str]:
    """Return the names of the query parameters of a route and of its dependencies."""
    names = [str(each.alias) for each in dependant.query_params]
    return list(dict.fromkeys([*names, *(name for each in dependant.dependencies for name in query_names(each))]))


async def check_query_parameters(request: Request) -> None:
    """Raise `Invalid` for query parameters that are unknown, repeated, or contain NUL."""
    if not request.query_params:
        return
    known = query_names(request.scope["route"].dependant)
    given = [name for name, _ in request.query_params.multi_items()]
    found = []
    for name in dict.fromkeys(given):
        pointer = f"/query/{escape_key(name)}"
        if name not in known:
            detail = "there is no such parameter."
            found.append(Problem(pointer, "unknown_parameter", detail, known or None, closest(name, known)))
        elif given.count(name) > 1:
            found.append(Problem(pointer, "repeated", "give it once."))
        elif "\x00" in request.query_params[name]:
            found.append(Problem(pointer, "bad_character", "it contains the character NUL: remove it."))
    if found:
        raise Invalid.of(found)


def id_path(prefix: str) -> Any:
    """Return the path parameter for ids with this prefix."""
    return Path(pattern=f"^{prefix}_[0-9a-hjkmnp-tv-z]{{26}}$")


ExperimentId = Annotated[str, id_path("exp")]
RunId = Annotated[str, id_path("run")]
ComparisonId = Annotated[str, id_path("cmp")]
