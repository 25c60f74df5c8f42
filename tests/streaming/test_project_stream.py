"""Following a project: nothing missed or doubled although ids are taken before commits, and over restarts."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import anyio
import httpx2 as httpx
import pytest
import uvicorn
from fastapi.testclient import TestClient
from sqlalchemy import Engine, text

from service.api.app import create_app
from service.api.server import listen
from service.db.access.principal import Principal
from service.db.runs import events
from service.db.session import Connection, make_engine, transaction
from service.settings import Settings
from service.streaming.broadcaster import Broadcaster
from service.streaming.positions import RunPosition
from service.streaming.readers import DROP_S, MAX_QUEUED, Batch, Reader
from service.streaming.streams import Stream
from tests.fixtures.api import SPEC, Worker, points

Submit = Callable[..., dict[str, Any]]
Message = tuple[str | None, str, dict[str, Any]]


def messages(lines: Iterator[str]) -> Iterator[Message]:
    fields: dict[str, str] = {}
    for line in lines:
        if ": " in line and not line.startswith(":"):
            name, value = line.split(": ", 1)
            fields[name] = value
        elif not line and "event" in fields:
            yield fields.get("id"), fields["event"], json.loads(fields["data"])
            fields = {}


class Listener(threading.Thread):
    """Reads a stream until it ends or `enough`."""

    def __init__(self, address: str, key: str, last: str | None = None, path: str = "/v1/events") -> None:
        super().__init__(daemon=True)
        self._url, self._headers = f"{address}{path}", {"Authorization": f"Bearer {key}"}
        if last:
            self._headers["Last-Event-ID"] = last
        self.heard: list[Message] = []
        self.open = threading.Event()
        self.start()
        assert self.open.wait(30)

    def run(self) -> None:
        with httpx.stream("GET", self._url, headers=self._headers, timeout=30) as answer:
            lines = answer.iter_lines()
            next(lines)
            self.open.set()
            for message in messages(lines):
                self.heard.append(message)

    def told(self) -> list[Message]:
        return [message for message in list(self.heard) if message[0] is not None]

    def wait(self, count: int, seconds: float = 30) -> list[Message]:
        end = time.monotonic() + seconds
        while len(self.told()) < count:
            assert time.monotonic() < end, self.heard
            time.sleep(0.01)
        return self.told()

    def notes(self, count: int) -> list[Message]:
        """What was told once there are so many notes in it, and whatever comes in the quarter of a second after."""
        upto = count
        while sum(kind == "note" for _, kind, _ in self.wait(upto)) < count:
            upto = len(self.told()) + 1
        time.sleep(0.25)
        return self.told()


def add(connection: Connection, run_id: str, number: int) -> None:
    """As every writer does: the run's row is locked first."""
    connection.execute(text("SELECT 1 FROM run WHERE id = :id FOR UPDATE"), {"id": run_id})
    events.add(connection, run_id, "note", {"number": number}, by="test", why="test")


@pytest.fixture
def two(submit: Submit) -> list[str]:
    return [run["id"] for run in submit(seeds=[0, 1])["runs"]]


def test_an_event_that_commits_late_is_told_although_a_higher_id_was_told_before(
    live: str, key: str, engine: Engine, two: list[str]
) -> None:
    listener = Listener(live, key)
    with transaction(engine) as late:
        add(late, two[0], 1)  # takes the lower id, and commits last
        with transaction(engine) as early:
            add(early, two[1], 2)
        time.sleep(0.3)
        assert listener.told() == [], "told before everything older was known"
    heard = listener.wait(2)
    assert sorted(data["number"] for _, _, data in heard) == [1, 2]


def test_transactions_that_take_their_ids_in_another_order_than_they_began_miss_nothing(
    engine: Engine, key: str, live: str, two: list[str]
) -> None:
    """The older transaction takes the higher id: ordering by id alone would lose the other's event."""
    listener = Listener(live, key)
    with engine.connect() as older, engine.connect() as younger:
        older.execute(text("SELECT pg_current_xact_id()"))
        younger.execute(text("SELECT pg_current_xact_id()"))
        add(younger, two[0], 1)
        add(older, two[1], 2)
        older.commit()
        first = listener.wait(1)
        assert [data["number"] for _, _, data in first] == [2]
        younger.commit()
    assert [data["number"] for _, _, data in listener.wait(2)] == [2, 1]
    again = Listener(live, key, last=first[0][0])
    assert [data["number"] for _, _, data in again.wait(1)] == [1]


def test_random_interleavings_are_each_told_once_to_every_reader(
    engine: Engine, key: str, live: str, two: list[str]
) -> None:
    listener = Listener(live, key)

    def write(run_id: str, first: int) -> None:
        for number in range(first, first + 15):
            with transaction(engine) as connection:
                add(connection, run_id, number)
                time.sleep((number * 7 % 5) / 1000)

    writers = [threading.Thread(target=write, args=(two[i % 2], 1000 * i)) for i in range(4)]
    for writer in writers:
        writer.start()
    resumed: list[Message] = []
    while any(writer.is_alive() for writer in writers):
        time.sleep(0.15)
        part = (
            Listener(live, key, last=resumed[-1][0]) if resumed else Listener(live, key, path="/v1/events?from=start")
        )
        time.sleep(0.15)
        resumed += part.told()
    for writer in writers:
        writer.join()
    wanted = sorted(1000 * i + n for i in range(4) for n in range(15))
    heard = [data["number"] for _, kind, data in listener.wait(60) if kind == "note"]
    assert sorted(heard) == wanted
    known = sum(kind == "note" for _, kind, _ in resumed)
    rest = Listener(live, key, last=resumed[-1][0]) if resumed else Listener(live, key, path="/v1/events?from=start")
    pieced = [data["number"] for _, kind, data in resumed + rest.notes(len(wanted) - known) if kind == "note"]
    assert sorted(pieced) == wanted


def test_a_project_hears_of_its_running_runs_and_of_no_others(
    live: str, key: str, client: TestClient, submit: Submit, worker: Worker, stranger: dict[str, str]
) -> None:
    theirs = client.post("/v1/experiments", json=SPEC, headers=stranger).json()["runs"][0]["id"]
    submit()
    held = [worker.claim(), worker.claim()]
    listener = Listener(live, key)
    for each in held:
        worker.flush(each, points(1, 50))
        worker.finish(each)
    heard = listener.wait(1)
    assert {data["run_id"] for _, _, data in heard} == {each.run_id for each in held} - {theirs}
    said = [run for _, kind, data in listener.heard if kind == "runs" for run in data["runs"]]
    assert {run["run_id"] for run in said} == {each.run_id for each in held} - {theirs}


def test_a_position_of_another_database_is_told_so(live: str, key: str, two: list[str]) -> None:
    listener = Listener(live, key, last="999999999999999999.1")
    assert listener.wait(1)[0][1] == "reset"


def test_a_run_is_followed_over_restarts_with_nothing_missed_or_doubled(
    settings: Settings, submit: Submit, key: str, worker: Worker
) -> None:
    submit(steps=2000)
    held = worker.claim()
    writing = threading.Thread(
        target=lambda: [
            *[(worker.flush(held, points(n, n + 9)), time.sleep(0.005)) for n in range(1, 2000, 10)],
            worker.finish(held),
        ]
    )
    writing.start()
    headers = {"Authorization": f"Bearer {key}"}
    steps: list[int] = []
    ended, servers = False, 0
    while not ended:
        servers += 1
        with served(settings) as address:
            url = f"{address}/v1/runs/{held.run_id}/events"
            with httpx.stream("GET", url, headers=headers, timeout=30) as answer:
                end = time.monotonic() + 0.3
                for last, kind, data in messages(answer.iter_lines()):
                    headers["Last-Event-ID"] = last or headers["Last-Event-ID"]
                    if kind == "points":
                        steps += data["series"]["loss"]["step"]
                    ended = kind == "end"
                    if ended or time.monotonic() > end:
                        break
    writing.join()
    assert steps == list(range(1, 2001))
    assert servers > 2


@contextmanager
def served(settings: Settings) -> Iterator[str]:
    """A server of its own, ended while its reader is attached."""
    listener = listen("127.0.0.1", 0)
    server = uvicorn.Server(uvicorn.Config(create_app(settings), log_config=None, timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    server.should_exit = True
    thread.join()
    listener.close()


def test_a_reader_that_takes_nothing_is_dropped_and_told_why() -> None:
    engine = make_engine("postgresql+psycopg://nobody@127.0.0.1:1/none")

    async def follow() -> Reader[RunPosition]:
        somebody = Principal("key_1", "mem_1", "somebody", "prj_1", "one", "member")
        broadcaster = Broadcaster(engine, 1)
        slow, quick_one = broadcaster.follow("run_1", somebody), broadcaster.follow("run_1", somebody)
        for _ in range(MAX_QUEUED + 1):
            for reader in (slow, quick_one):
                reader.put(Batch([], None))
            await quick_one.take(10)
        assert quick_one.dropped is None
        assert 0 < slow.scope.deadline - anyio.current_time() <= DROP_S
        assert await slow.take(10) is None
        for reader in (slow, quick_one):
            broadcaster.leave(reader)
        return slow

    slow = anyio.run(follow)
    assert slow.dropped == "slow"
    assert '"reason": "slow"' in Stream(engine, anyio.CapacityLimiter(1), slow, RunPosition()).farewell()
