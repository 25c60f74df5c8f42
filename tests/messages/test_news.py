"""What happened is told once, to whoever wants to know, and bundled by experiment."""

import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Connection, Engine

from service.db.access.principal import Principal
from service.db.experiments import deletion
from service.db.messages import news, outbox
from service.db.messages.notices import Notice
from service.db.metrics.codec import pack
from service.db.runs.events import record_state
from service.db.session import transaction
from service.lifecycle import State
from service.messages.news import read_news
from service.settings import Settings
from tests.fixtures.api import SPEC, Worker, points, quick
from tests.messages.conftest import MadeChannel, sql

DIVERGED = {"code": "diverged", "detail": "The loss became infinite."}
Submit = Callable[..., dict[str, Any]]


@pytest.fixture
def settings(database_url: str) -> Settings:
    """An API whose own messenger does nothing, so that a test says when."""
    return quick(database_url).model_copy(update={"reap_s": 3600.0})


def kinds(engine: Engine, channel_id: str) -> list[str]:
    found = sql(engine, "SELECT events FROM delivery WHERE channel_id = :id ORDER BY created_at", id=channel_id)
    return [event["kind"] for row in found for event in row["events"]]


def test_each_end_of_a_run_has_its_kind_and_is_told_once(
    engine: Engine, settings: Settings, submit: Submit, worker: Worker, add_channel: MadeChannel, client: TestClient
) -> None:
    channel, _ = add_channel(events=["run_succeeded", "run_failed", "run_diverged"])
    submit(seeds=[0, 1, 2, 3])
    worker.finish(worker.claim())
    worker.finish(worker.claim(), state=State.FAILED, failure=DIVERGED)
    worker.finish(worker.claim(), state=State.FAILED, failure={"code": "time_limit", "detail": "too long"})
    held = worker.claim()
    client.post(f"/v1/runs/{held.run_id}/cancel")
    worker.finish(held, state=State.CANCELLED)
    for _ in range(2):
        read_news(engine, settings, conditions=False)
    assert kinds(engine, channel) == ["run_succeeded", "run_diverged", "run_failed"], "a cancel is somebody's own act"
    (first, *_) = sql(engine, "SELECT events FROM delivery ORDER BY created_at")
    assert first["events"][0]["experiment"]["name"] == SPEC["name"]
    assert first["events"][0]["run"]["seed"] == 0


def test_what_happened_before_a_channel_is_no_news_to_it(
    engine: Engine, settings: Settings, submit: Submit, worker: Worker, add_channel: MadeChannel
) -> None:
    submit(seeds=[0, 1])
    worker.finish(worker.claim())
    channel, _ = add_channel()
    read_news(engine, settings, conditions=False)
    assert kinds(engine, channel) == []
    worker.finish(worker.claim())
    later, _ = add_channel()
    read_news(engine, settings, conditions=False)
    assert (kinds(engine, channel), kinds(engine, later)) == (["run_succeeded"], [])


def test_five_hundred_seeds_are_one_message(
    engine: Engine, settings: Settings, submit: Submit, worker: Worker, add_channel: MadeChannel
) -> None:
    bundled, _ = add_channel(bundle_s=300, events=["run_succeeded"])
    made = submit(seeds=list(range(500)))
    ended = "UPDATE run SET state = 'succeeded', finished_at = now() WHERE experiment_id = :id"
    sql(engine, ended, id=made["id"])
    add = """INSERT INTO event (project_id, run_id, kind, data)
        SELECT project_id, id, 'state', '{"state": "succeeded"}' FROM run WHERE experiment_id = :id"""
    sql(engine, add, id=made["id"])
    assert read_news(engine, settings, conditions=False) == 500
    (row,) = sql(
        engine, "SELECT jsonb_array_length(events) AS n, due_at > now() + interval '3 s' AS waits FROM delivery"
    )
    assert (row["n"], row["waits"]) == (500, True)
    sql(engine, "UPDATE delivery SET state = 'sent', ended_at = now()")
    sql(engine, add, id=made["id"])
    read_news(engine, settings, conditions=False)
    (row,) = sql(engine, "SELECT extract(epoch FROM due_at - now()) AS wait_s FROM delivery WHERE state = 'open'")
    assert 290 < row["wait_s"] <= 300, "the next message on the experiment waits for the window"
    assert len(kinds(engine, bundled)) == 1000


def test_ones_own_and_everybodys(
    engine: Engine, settings: Settings, submit: Submit, worker: Worker, add_channel: MadeChannel
) -> None:
    own, _ = add_channel(own_only=True)
    every, _ = add_channel()
    shared, _ = add_channel(shared=True)
    submit()
    made = submit()
    sql(engine, "INSERT INTO account (id, name) VALUES ('acc_2', 'bob')")
    sql(
        engine,
        """INSERT INTO member (id, project_id, account_id, name)
        SELECT 'mem_2', id, 'acc_2', 'bob' FROM project LIMIT 1""",
    )
    sql(engine, "UPDATE experiment SET owner_id = 'mem_2' WHERE id = :id", id=made["id"])
    for _ in range(2):
        worker.finish(worker.claim())
    read_news(engine, settings, conditions=False)
    assert [len(kinds(engine, each)) for each in (own, every, shared)] == [1, 2, 2]


def test_nobody_who_left_is_told(
    engine: Engine, settings: Settings, submit: Submit, worker: Worker, add_channel: MadeChannel
) -> None:
    mine, _ = add_channel()
    shared, _ = add_channel(shared=True)
    submit()
    worker.finish(worker.claim())
    sql(engine, "UPDATE member SET removed_at = now()")
    read_news(engine, settings, conditions=False)
    assert (kinds(engine, mine), kinds(engine, shared)) == ([], ["run_succeeded"])


def test_two_readers_at_once_tell_each_event_once(
    engine: Engine, settings: Settings, submit: Submit, worker: Worker, add_channel: MadeChannel
) -> None:
    channel, _ = add_channel()
    submit(seeds=list(range(20)))
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            read_news(engine, settings, conditions=False)

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    for _ in range(20):
        worker.finish(worker.claim())
    read_news(engine, settings, conditions=False)
    done.set()
    for reader in readers:
        reader.join()
    read_news(engine, settings, conditions=False)
    assert kinds(engine, channel) == ["run_succeeded"] * 20


def test_an_event_that_commits_late_is_not_passed_over(
    engine: Engine, settings: Settings, submit: Submit, worker: Worker, add_channel: MadeChannel
) -> None:
    channel, _ = add_channel()
    submit(seeds=[0, 1])
    slow, fast = worker.claim(), worker.claim()
    with transaction(engine) as connection:
        record_state(connection, slow.run_id, State.SUCCEEDED, {}, by="w1", why="succeeded")
        worker.finish(fast)
        read_news(engine, settings, conditions=False)
    read_news(engine, settings, conditions=False)
    found = sql(
        engine, "SELECT events -> 0 -> 'run' ->> 'seed' AS seed FROM delivery WHERE channel_id = :id", id=channel
    )
    assert sorted(row["seed"] for row in found) == ["0", "1"]


def test_a_restored_database_begins_at_its_own_present(
    engine: Engine, settings: Settings, submit: Submit, worker: Worker, add_channel: MadeChannel
) -> None:
    channel, _ = add_channel()
    sql(engine, "UPDATE event_reader SET xid = 1000000000")
    read_news(engine, settings, conditions=False)
    submit()
    worker.finish(worker.claim())
    read_news(engine, settings, conditions=False)
    assert kinds(engine, channel) == ["run_succeeded"]


def test_a_fault_is_told_once_while_the_run_trains(
    engine: Engine, settings: Settings, submit: Submit, worker: Worker, add_channel: MadeChannel, client: TestClient
) -> None:
    channel, _ = add_channel(events=["finding_fault"])
    rising = {name: chunk for name, chunk in points(1, 200).items() if name == "lr"}
    steps = np.arange(1, 201)
    submit(steps=200)
    held = worker.claim()
    worker.save(held, 200, rising | {"loss": pack(steps, 1.0 * np.exp(steps / 20.0))})
    found = client.get(f"/v1/runs/{held.run_id}/diagnosis").json()
    faults = [each["id"] for each in found["findings"] if each["level"] == "fault"]
    assert faults
    read_news(engine, settings, conditions=False)
    assert kinds(engine, channel) == ["finding_fault"] * len(faults)
    worker.finish(held)
    read_news(engine, settings, conditions=False)
    told = sql(engine, "SELECT e -> 'finding' ->> 'id' AS id FROM delivery, jsonb_array_elements(events) e")
    assert len({row["id"] for row in told}) == len(told)


def test_a_queue_that_nobody_serves_is_told_once_until_it_moves(
    engine: Engine, settings: Settings, submit: Submit, worker: Worker, add_channel: MadeChannel
) -> None:
    channel, _ = add_channel(events=["queue_stuck"])
    submit(seeds=[0, 1])
    read_news(engine, settings, conditions=True)
    assert kinds(engine, channel) == []
    sql(engine, "UPDATE run SET queued_at = now() - interval '121 s'")
    for _ in range(2):
        read_news(engine, settings, conditions=True)
    (row,) = sql(engine, "SELECT events -> 0 AS event FROM delivery")
    assert row["event"]["runs"] == 2
    assert row["event"]["why"] == "no worker of pool cpu has been seen"
    sql(engine, "UPDATE run SET queued_at = now()")
    read_news(engine, settings, conditions=True)
    sql(engine, "UPDATE run SET queued_at = now() - interval '2 h'")
    read_news(engine, settings, conditions=True)
    assert len(kinds(engine, channel)) == 2


@pytest.mark.usefixtures("served")
def test_a_run_that_only_waits_its_turn_is_told_after_the_bound(
    engine: Engine, settings: Settings, submit: Submit, add_channel: MadeChannel
) -> None:
    channel, _ = add_channel(events=["queue_stuck"])
    submit()
    for waited, told in ((3599, 0), (3601, 1)):
        sql(engine, f"UPDATE run SET queued_at = now() - interval '{waited} s'")
        read_news(engine, settings, conditions=True)
        assert len(kinds(engine, channel)) == told


@pytest.mark.parametrize(("share", "told"), [(0.89, 0), (0.91, 1)])
def test_a_quota_that_is_nearly_used_up_is_told(
    engine: Engine, settings: Settings, add_channel: MadeChannel, principal: Principal, share: float, told: int
) -> None:
    channel, _ = add_channel(events=["quota_near"])
    limit = 20 * 2**30
    use = """INSERT INTO quota_use (project_id, device_s, upload_bytes, checkpoint_bytes, held)
        VALUES (:project, 0, :bytes, 0, false)"""
    sql(engine, use, project=principal.project_id, bytes=int(limit * share))
    for _ in range(2):
        read_news(engine, settings, conditions=True)
    assert len(kinds(engine, channel)) == told


def test_a_mention_goes_to_nobody_else(engine: Engine, principal: Principal, add_channel: MadeChannel) -> None:
    mine, _ = add_channel()
    shared, _ = add_channel(shared=True)
    with transaction(engine) as connection:
        told = {"by": "bob", "text": "@ada look"}
        for to in (principal.member_id, "mem_other"):
            notice = Notice("mention", principal.project_id, "exp_1", news.now(connection), told, only_to=to)
            outbox.add(connection, [notice])
    assert (kinds(engine, mine), kinds(engine, shared)) == (["mention"], [])


def test_a_project_whose_runs_cannot_be_read_does_not_silence_the_others(
    engine: Engine,
    settings: Settings,
    submit: Submit,
    worker: Worker,
    add_channel: MadeChannel,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    channel, _ = add_channel()
    sql(engine, "INSERT INTO project (id, name) VALUES ('prj_0', 'ill')")
    sql(engine, "INSERT INTO event_reader (project_id, xid) VALUES ('prj_0', 0)")
    subscriptions = outbox.subscriptions

    def broken(connection: Connection, project_ids: Sequence[str]) -> Any:
        if project_ids == ["prj_0"]:
            raise RuntimeError("a row that nobody can read")
        return subscriptions(connection, project_ids)

    monkeypatch.setattr(outbox, "subscriptions", broken)
    submit()
    worker.finish(worker.claim())
    read_news(engine, settings, conditions=False)
    assert kinds(engine, channel) == ["run_succeeded"]


def test_an_experiment_that_is_erased_leaves_no_message(
    engine: Engine, settings: Settings, submit: Submit, worker: Worker, add_channel: MadeChannel, principal: Principal
) -> None:
    add_channel(bundle_s=300)
    add_channel()
    erased, kept = submit()["id"], submit()["id"]
    for _ in range(2):
        worker.finish(worker.claim())
    read_news(engine, settings, conditions=False)
    with transaction(engine) as connection:
        deletion.erase(connection, principal, erased)
    left = sql(engine, "SELECT events -> 0 -> 'experiment' ->> 'id' AS id FROM delivery")
    assert [row["id"] for row in left] == [kept] * 2
