"""Routes that run in one thread, from the first statement of their transaction to its commit.

FastAPI changes threads for each plain function: to open the transaction, for the route, to check its answer, and to
commit. A change takes a twentieth of a millisecond of processor time, and on a busy process up to 5 ms of waiting.
"""

import inspect
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from functools import partial, wraps
from typing import Any, Generic, TypeVar

import anyio
from fastapi.routing import APIRoute

from service.db.session import Connection

T = TypeVar("T")
U = TypeVar("U")


@dataclass(frozen=True)
class Deferred(Generic[T]):
    """What a dependency makes of the transaction once the route's thread has opened it."""

    transaction: AbstractContextManager[Connection]
    make: Callable[[Connection], T]

    def then(self, work: Callable[[T], U]) -> "Deferred[U]":
        """Return what `work` makes of it, in the same transaction."""
        return Deferred(self.transaction, lambda connection: work(self.make(connection)))


class OneThread(APIRoute):
    """A route whose plain function gets what was `Deferred`, in a thread of its own."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **given: Any) -> None:
        plain = not inspect.iscoroutinefunction(endpoint)
        super().__init__(path, in_one_thread(endpoint) if plain else endpoint, **given)


def in_one_thread(endpoint: Callable[..., T]) -> Callable[..., Any]:
    """Return the coroutine that runs a plain function in a thread."""

    @wraps(endpoint)
    async def run(**given: Any) -> T:
        return await anyio.to_thread.run_sync(partial(_call, endpoint, given))

    return run


def _call(endpoint: Callable[..., T], given: dict[str, Any]) -> T:
    deferred = {name: value for name, value in given.items() if isinstance(value, Deferred)}
    with ExitStack() as stack:
        opened = {each: stack.enter_context(each) for each in {value.transaction for value in deferred.values()}}
        made = {name: value.make(opened[value.transaction]) for name, value in deferred.items()}
        return endpoint(**given | made)
