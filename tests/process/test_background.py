"""The reaper and the dispatcher of an API process."""

import asyncio
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis
from fastapi.testclient import TestClient
from sqlalchemy import Engine

from service.api.app import create_app
from service.db.runs import leases
from service.db.runs.reaper import Beat
from service.db.session import make_engine, transaction
from service.local.valkey import EmbeddedValkey
from service.notifications import Notifier
from service.process.background import Dispatcher, HeartbeatMonitor, Reaper
from service.settings import Settings
from tests.fixtures.api import SPEC, Worker
from tests.harness.waiting import until

A, A_LATER, B = Beat("run_a", "l", 1), Beat("run_a", "l", 2), Beat("run_b", "m", 1)


@pytest.fixture
def monitor() -> HeartbeatMonitor:
    return HeartbeatMonitor(window_s=30, gap_s=16)


def test_a_beat_that_stands_still_for_the_window_is_overdue(monitor: HeartbeatMonitor) -> None:
    assert [monitor.overdue([A, B], now) for now in (0, 10, 20, 29.9)] == [[], [], [], []]
    assert monitor.overdue([A], 30) == [A]


def test_a_beat_that_moves_begins_anew(monitor: HeartbeatMonitor) -> None:
    for now in (0, 10, 20):
        monitor.overdue([A], now)
    assert monitor.overdue([A_LATER], 30) == []
    assert monitor.overdue([A_LATER], 45) == []
    assert monitor.overdue([A_LATER], 60) == [A_LATER]


def test_a_reaper_that_was_away_accuses_nobody(monitor: HeartbeatMonitor) -> None:
    monitor.overdue([A], 0)
    assert monitor.overdue([A], 100) == [], "nobody looked in between"
    monitor.overdue([A], 110)
    monitor.forget()
    assert monitor.overdue([A], 120) == []


def test_a_lost_run_is_taken_back_and_one_that_beats_is_not(
    settings: Settings, key: str, worker: Worker, engine: Engine
) -> None:
    settings = settings.model_copy(update={"lease_window_s": 0.6, "reap_s": 0.05})
    headers = {"Authorization": f"Bearer {key}"}
    with TestClient(create_app(settings), headers=headers) as client:
        client.post("/v1/experiments", json=SPEC | {"seeds": [0, 1]})
        lost, alive = worker.claim(), worker.claim()
        deadline = time.monotonic() + 10
        while client.get(f"/v1/runs/{lost.run_id}").json()["state"] != "queued":
            with transaction(engine) as connection:
                leases.fence(connection, alive)
            time.sleep(0.05)
            assert time.monotonic() < deadline
        assert client.get(f"/v1/runs/{alive.run_id}").json()["state"] == "running"
        (attempt,) = client.get(f"/v1/runs/{lost.run_id}/attempts").json()["items"]
        assert attempt["ending"] == "lost"


def test_a_reaper_that_cannot_read_lives_on_and_forgets(
    settings: Settings, worker: Worker, client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings.model_copy(update={"reap_s": 0.02})
    away = make_engine("postgresql+psycopg://nobody@/none?host=/nowhere", pool_size=1)
    ending = threading.Event()
    reaper = Reaper(away, settings, ending)
    forgotten = threading.Event()
    monkeypatch.setattr(reaper._monitor, "forget", forgotten.set)
    reaper.start()
    assert forgotten.wait(5)
    assert reaper.is_alive()
    ending.set()
    reaper.join(5)
    assert not reaper.is_alive()


class RecordingNotifier:
    """Stands for the broker, which is not ours."""

    def __init__(self, answers: bool = True) -> None:
        self.sent: list[tuple[str, int]] = []
        self.answers = answers

    def notify(self, pool: str, times: int = 1) -> bool:
        self.sent.append((pool, times))
        return self.answers


def test_the_dispatcher_notifies_of_what_waits_and_at_most_eight_times(
    settings: Settings, engine: Engine, submit: Callable[..., dict[str, Any]]
) -> None:
    dispatcher = Dispatcher(engine, settings, threading.Event())
    notifier: Any = RecordingNotifier()
    dispatcher._look(notifier)
    assert notifier.sent == []
    submit(seeds=[0, 1])
    dispatcher._look(notifier)
    submit(seeds=list(range(20)))
    dispatcher._look(notifier)
    assert notifier.sent == [("cpu", 2), ("cpu", 8)]


def test_a_broker_that_answers_and_refuses_is_away() -> None:
    with (
        tempfile.TemporaryDirectory() as home,
        EmbeddedValkey(opened(home)) as valkey,
        redis.Redis(unix_socket_path=str(valkey.socket), password=valkey.password) as operator,
    ):
        notifier = Notifier(valkey.url)
        assert notifier.notify("cpu")
        operator.config_set("maxmemory", 1)
        assert not notifier.notify("cpu")
        operator.config_set("maxmemory", 0)
        assert notifier.notify("cpu")


def opened(home: str) -> Path:
    """A folder in it that the server's own account reaches."""
    Path(home).chmod(0o711)
    return Path(home) / "valkey"


def test_the_dispatcher_outlives_a_notifier_that_breaks(
    settings: Settings, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken(RecordingNotifier):
        def notify(self, pool: str, times: int = 1) -> bool:
            super().notify(pool, times)
            raise RuntimeError("the library of the broker has a bug")

    notifier, ending = Broken(), threading.Event()
    monkeypatch.setattr("service.notifications.Notifier", lambda _: notifier)
    dispatcher = Dispatcher(engine, settings, ending)
    dispatcher.start()
    for times in (1, 2):
        asyncio.run(dispatcher.notify("cpu", times))
    until(lambda: notifier.sent == [("cpu", 1), ("cpu", 2)], 10)
    ending.set()
    dispatcher.wake_up()
    dispatcher.join(5)
    assert not dispatcher.is_alive()
