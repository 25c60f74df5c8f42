"""Connections: how long they may let the server wait, and who gives way where there is no room."""

import resource
from collections.abc import Callable

import pytest

from service.process.connections import RESERVED_FILES, Awaits, Connection, Connections, allow_connections
from service.settings import Settings

Open = Callable[[str], Connection | None]


def table(**given: object) -> tuple[Connections, Open, list[str]]:
    """A table, a function that opens a connection in it, and the addresses whose connections were ended."""
    connections = Connections(Settings(database_url="postgresql+psycopg://x/x", **given))
    ended: list[str] = []

    def open_from(address: str) -> Connection | None:
        return connections.open(address, lambda _: ended.append(address))

    return connections, open_from, ended


def test_the_clock_of_a_head_runs_on_and_that_of_a_body_begins_again() -> None:
    connections, open_from, ended = table(head_s=10, body_s=10, idle_s=10)
    slow, sending = open_from("slow"), open_from("sending")
    assert slow
    assert sending
    start = slow.since
    connections.wait(slow, Awaits.HEAD)
    connections.wait(sending, Awaits.BODY)
    sending.since = start + 5
    connections.end_overdue(start + 10)
    assert ended == []
    connections.end_overdue(start + 10.1)
    assert ended == ["slow"]
    connections.end_overdue(start + 15.1)
    assert ended == ["slow", "sending"]
    connections.end_overdue(start + 100)
    assert ended == ["slow", "sending"], "once"


def test_one_that_the_server_works_for_has_no_limit_and_gives_way_to_nobody() -> None:
    connections, open_from, ended = table(connections=8)
    busy = [open_from("a") for _ in range(4)]
    for each in busy:
        assert each
        connections.work(each)
    connections.end_overdue(busy[0].since + 10_000)  # type: ignore[union-attr]
    assert open_from("a") is None, "an address has half"
    others = [open_from(name) for name in "bcde"]
    assert ended == []
    assert open_from("f")
    assert ended == ["b"], "the one that has been silent longest"
    for each in others[1:]:
        assert each
        connections.close(each)
    assert len(connections) == 6


def test_an_address_gives_up_its_own_but_a_proxy_stands_for_many() -> None:
    _, open_from, ended = table(connections=8)
    open_from("other")
    for _ in range(6):
        assert open_from("10.0.0.1")
    assert ended == ["10.0.0.1"] * 2
    _, open_from, ended = table(connections=8)
    for host in range(6):  # one host of IPv6, which may hold all addresses of its network
        assert open_from(f"2001:db8::{host}")
    assert len(ended) == 2
    _, open_from, ended = table(connections=8, trusted_proxies="10.0.0.0/24")
    for _ in range(8):
        assert open_from("10.0.0.1")
    assert ended == []


def test_there_are_no_more_connections_than_files(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = [(100_000, 100_000)]
    monkeypatch.setattr(resource, "getrlimit", lambda _: limits[-1])
    monkeypatch.setattr(resource, "setrlimit", lambda _, wanted: limits.append(wanted))
    assert allow_connections(2048) == 2048
    limits[:] = [(1024, 1024)]
    assert allow_connections(2048) == 1024 - RESERVED_FILES
    limits[:] = [(1024, 100_000)]
    assert (allow_connections(2048), limits[-1]) == (2048, (2048 + RESERVED_FILES, 100_000))


@pytest.mark.parametrize("wrong", [{"connections": 7}, {"head_s": 0}, {"body_s": 301}, {"trusted_proxies": "proxy"}])
def test_a_limit_has_its_range(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Settings(database_url="postgresql+psycopg://x/x", **wrong)
