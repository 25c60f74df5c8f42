"""A plain route runs in one thread, from the first statement of its transaction to its commit."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import anyio
import pytest
from fastapi.routing import APIRoute

from service.api.access import routes_of
from service.api.app import create_app
from service.api.one_thread import Deferred, OneThread, in_one_thread
from service.settings import Settings


def test_a_route_its_transaction_and_what_is_made_of_it_share_one_thread() -> None:
    seen: list[tuple[str, int]] = []

    def note(what: str) -> None:
        seen.append((what, threading.get_ident()))

    @contextmanager
    def transaction() -> Iterator[str]:
        note("opened")
        yield "connection"
        note("committed")

    def route(number: int, connection: str, context: str) -> str:
        note("ran")
        return f"{number} {connection} {context}"

    opened = Deferred(transaction(), str)  # type: ignore[arg-type]
    context = opened.then(str.upper)

    async def ask() -> str:
        return str(await in_one_thread(route)(number=1, connection=opened, context=context))

    assert anyio.run(ask) == "1 connection CONNECTION"
    assert [what for what, _ in seen] == ["opened", "ran", "committed"]
    assert len({thread for _, thread in seen}) == 1
    assert seen[0][1] != threading.get_ident()


def test_a_route_that_fails_is_rolled_back() -> None:
    ended: list[str] = []

    @contextmanager
    def transaction() -> Iterator[str]:
        try:
            yield "connection"
        except LookupError:
            ended.append("rolled back")
            raise

    def route(connection: str) -> None:
        raise LookupError(connection)

    with pytest.raises(LookupError, match="connection"):
        anyio.run(lambda: in_one_thread(route)(connection=Deferred(transaction(), str)))  # type: ignore[arg-type]
    assert ended == ["rolled back"]


def test_every_route_with_a_transaction_opens_it_in_its_own_thread() -> None:
    from service.api.dependencies import _connection

    def needs(dependant: object) -> bool:
        return getattr(dependant, "call", None) is _connection or any(map(needs, dependant.dependencies))  # type: ignore[attr-defined]

    app = create_app(Settings(database_url="postgresql+psycopg://"))
    with_transaction: list[APIRoute] = [route for route in routes_of(app) if needs(route.dependant)]
    assert len(with_transaction) > 50
    assert [route.path for route in with_transaction if not isinstance(route, OneThread)] == []
