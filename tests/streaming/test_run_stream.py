"""Following a run over SSE: each point and event once, from anywhere, through cuts and shutdowns."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import httpx2 as httpx
import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine, text

from service.db.access import projects
from service.db.runs import reaper
from service.db.session import transaction
from service.process.runtime import Runtime
from service.streaming import broadcaster, streams
from tests.fixtures.api import SPEC, Worker, points

Submit = Callable[..., dict[str, Any]]


@dataclass(frozen=True)
class Message:
    id: str
    kind: str
    data: dict[str, Any]


def parse(text: str) -> list[Message]:
    """The messages that have a place among the run's events."""
    messages = []
    for block in text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.split("\n") if line and not line.startswith(":"))
        if "id" in fields:
            messages.append(Message(fields["id"], fields["event"], json.loads(fields["data"])))
    return messages


class Reader:
    """Keeps what a page would keep: points by series, dropping what a cut took back."""

    def __init__(self) -> None:
        self.points: dict[str, dict[int, float]] = {}
        self.events: list[str] = []

    def read(self, messages: list[Message]) -> "Reader":
        for message in messages:
            self.events.append(message.id.split(".")[0])
            if message.kind == "cut":
                for kept in self.points.values():
                    for step in [step for step in kept if step > message.data["from_step"]]:
                        del kept[step]
            for name, columns in message.data.get("series", {}).items():
                kept = self.points.setdefault(name, {})
                for step, value in zip(columns["step"], columns["value"], strict=True):
                    assert step not in kept, "sent twice"
                    kept[step] = value
        return self


def lose(engine: Engine, run_id: str) -> None:
    with transaction(engine) as connection:
        (beat,) = [each for each in reaper.beats(connection) if each.run_id == run_id]
        reaper.reap(connection, beat)


@pytest.fixture
def eventful(client: TestClient, submit: Submit, worker: Worker, engine: Engine) -> str:
    """A run that lost its worker at step 150 and went on from 100."""
    submit(steps=400)
    first = worker.claim()
    worker.flush(first, points(1, 60))
    worker.save(first, 100, points(61, 100))
    worker.flush(first, points(101, 150))
    lose(engine, first.run_id)
    second = worker.claim()
    worker.flush(second, points(101, 300))
    worker.finish(second, points(301, 400))
    return second.run_id


def test_a_finished_run_is_told_from_its_first_event_to_the_end(client: TestClient, eventful: str) -> None:
    answer = client.get(f"/v1/runs/{eventful}/events")
    messages = parse(answer.text)
    assert answer.headers["content-type"].startswith("text/event-stream")
    kinds = [message.kind for message in messages]
    assert kinds == ["state", "state", "checkpoint", "state", "cut", "state", "state", "points", "end"]
    states = [message.data["state"] for message in messages if message.kind == "state"]
    assert states == ["queued", "running", "queued", "running", "succeeded"]
    reader = Reader().read(messages)
    assert set(reader.points["loss"]) == set(range(1, 401))
    assert messages[-1].data == {"state": "succeeded"}


def test_a_reader_resumes_behind_any_message_with_nothing_missed_or_doubled(client: TestClient, eventful: str) -> None:
    path = f"/v1/runs/{eventful}/events"
    messages = parse(client.get(path).text)
    whole = Reader().read(messages)
    for seen in range(1, len(messages)):
        last = messages[seen - 1].id
        rest = parse(client.get(path, headers={"Last-Event-ID": last}).text)
        assert rest == parse(client.get(path, params={"last_event_id": last}).text)
        again = client.get(path, params={"last_event_id": messages[0].id}, headers={"Last-Event-ID": last})
        assert rest == parse(again.text)  # a browser connects again with the address it had: the header is newer
        assert Reader().read(messages[:seen] + rest).points == whole.points
        assert [m for m in messages[:seen] + rest if m.kind != "end"] == [m for m in messages if m.kind != "end"]


def test_a_reader_who_was_ahead_of_a_cut_drops_what_it_took_back(
    client: TestClient, submit: Submit, worker: Worker, engine: Engine
) -> None:
    submit(steps=300)
    first = worker.claim()
    worker.save(first, 100, points(1, 100))
    worker.flush(first, points(101, 150))
    path = f"/v1/runs/{first.run_id}/events"
    lose(engine, first.run_id)
    second = worker.claim()
    worker.finish(second, points(101, 300, scale=2.0))
    at_150 = "1.150"
    messages = parse(client.get(path, headers={"Last-Event-ID": at_150}).text)
    cut = next(message for message in messages if message.kind == "cut")
    assert cut.id.endswith(".100")
    sent = next(message for message in messages if message.kind == "points")
    assert sent.data["series"]["loss"]["step"] == list(range(101, 301))
    assert sent.data["series"]["loss"]["value"][0] == 2.0 / 101


def test_from_latest_leaves_the_past_out(client: TestClient, submit: Submit, worker: Worker) -> None:
    submit(steps=200)
    held = worker.claim()
    worker.flush(held, points(1, 100))
    runtime: Runtime = client.app_state["runtime"]

    def end_once_somebody_listens() -> None:
        while not runtime.stream_limits.total:
            time.sleep(0.01)
        worker.finish(held, points(101, 200))

    ending = threading.Thread(target=end_once_somebody_listens)
    ending.start()
    messages = parse(client.get(f"/v1/runs/{held.run_id}/events?from=latest").text)
    ending.join()
    assert [message.kind for message in messages] == ["state", "points", "end"]
    assert messages[1].data["series"]["loss"]["step"][0] == 101


def test_a_long_past_is_told_in_pieces(client: TestClient, submit: Submit, worker: Worker) -> None:
    submit(steps=25_000)
    held = worker.claim()
    worker.finish(held, points(1, 25_000))
    messages = parse(client.get(f"/v1/runs/{held.run_id}/events").text)
    assert [message.data["upto"] for message in messages if message.kind == "points"] == [10_000, 20_000, 25_000]
    assert len(Reader().read(messages).points["loss"]) == 25_000


def test_a_live_reader_through_a_cut_has_exactly_the_visible_points(
    client: TestClient, submit: Submit, worker: Worker, engine: Engine
) -> None:
    submit(steps=600)
    run_id = client.get("/v1/runs").json()["items"][0]["id"]

    def train() -> None:
        first = worker.claim()
        for begin in range(1, 300, 20):
            worker.flush(first, points(begin, begin + 19))
            if begin == 101:
                worker.save(first, 120)
            time.sleep(0.01)
        lose(engine, run_id)
        second = worker.claim()
        for begin in range(121, 600, 20):
            worker.flush(second, points(begin, begin + 19, scale=3.0))
            time.sleep(0.01)
        worker.finish(second)

    training = threading.Thread(target=train)
    training.start()
    messages = parse(client.get(f"/v1/runs/{run_id}/events").text)
    training.join()
    read = Reader().read(messages).points["loss"]
    exact = client.get(f"/v1/runs/{run_id}/series?names=loss&points=all").json()["series"]["loss"]
    assert read == dict(zip(exact["step"], exact["value"], strict=True))
    assert len(read) == 600
    assert sum(message.kind == "points" for message in messages) > 3


def test_non_finite_values_are_spelled(client: TestClient, submit: Submit, worker: Worker) -> None:
    submit(steps=2)
    held = worker.claim()
    worker.finish(held, points(1, 2, scale=float("nan")))
    messages = parse(client.get(f"/v1/runs/{held.run_id}/events").text)
    assert next(m for m in messages if m.kind == "points").data["series"]["loss"]["value"] == ["NaN", "NaN"]


@pytest.fixture
def quick_to_judge(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broadcaster, "DIAGNOSE_S", 0.05)


def judged(lines: Iterator[str]) -> tuple[list[str], dict[str, Any]]:
    """The lines in front of the next diagnosis, those of its own message aside, and what it says."""
    before: list[str] = []
    for line in lines:
        if line == "event: diagnosis":
            return before, json.loads(next(lines).removeprefix("data: "))
        before.append(line)
    raise AssertionError("the stream ended without one")


def test_what_the_rules_find_is_told_while_it_trains_and_once(
    quick_to_judge: None, http: httpx.Client, worker: Worker
) -> None:
    path = f"/v1/runs/{waiting_run(http)}/events"
    held = worker.claim()
    with http.stream("GET", path) as answer:
        lines = answer.iter_lines()
        worker.flush(held, points(1, 40))
        before, first = judged(lines)
        assert before[-1] == ""  # a message of its own, without an id
        assert first["level"] != "fault"
        worker.flush(held, points(41, 50, scale=float("nan")))
        _, found = judged(lines)
        assert found["level"] == "fault"
        assert found["step"] == 50
        assert found["findings"][0].keys() == {"id", "verdict", "level"}
        asked = http.get(path.replace("events", "diagnosis")).json()
        assert (asked["headline"], asked["findings"][0]["verdict"]) == (
            found["headline"],
            found["findings"][0]["verdict"],
        )
        worker.flush(held, points(51, 60, scale=float("nan")))
        time.sleep(0.5)  # several rounds, each finding the same
        with http.stream("GET", f"{path}?from=latest") as late:  # somebody who comes later hears it at once
            assert judged(late.iter_lines())[1]["findings"] == found["findings"]
        worker.finish(held, points(61, SPEC["steps"]))
        rest = list(lines)
    said = [rest[at + 1] for at, line in enumerate(rest) if line == "event: diagnosis"]
    told = [found, *(json.loads(line.removeprefix("data: ")) for line in said)]
    assert all(one["findings"] != next_one["findings"] for one, next_one in pairwise(told))


@pytest.mark.parametrize("position", ["x", "1", "-1.2", "1.2.3", "9" * 30 + ".1"])
def test_a_position_that_is_none_is_refused(client: TestClient, submit: Submit, position: str) -> None:
    run_id = submit()["runs"][0]["id"]
    answer = client.get(f"/v1/runs/{run_id}/events", headers={"Last-Event-ID": position})
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/header/Last-Event-ID")


@pytest.fixture
def http(live: str, key: str) -> Iterator[httpx.Client]:
    limits = httpx.Limits(max_connections=100)
    with httpx.Client(base_url=live, headers={"Authorization": f"Bearer {key}"}, timeout=20, limits=limits) as client:
        yield client


def waiting_run(http: httpx.Client) -> str:
    run: str = http.post("/v1/experiments", json=SPEC).json()["runs"][0]["id"]
    return run


def test_a_key_has_so_many_streams_and_no_more_until_one_ends(http: httpx.Client) -> None:
    path = f"/v1/runs/{waiting_run(http)}/events"
    opened = [http.send(http.build_request("GET", path), stream=True) for _ in range(20)]
    assert {answer.status_code for answer in opened} == {200}
    refused = http.get(path)
    assert (refused.status_code, refused.json()["code"]) == (429, "too_many")
    assert int(refused.headers["Retry-After"]) > 0
    opened.pop().close()
    deadline = time.monotonic() + 5
    while (again := http.send(http.build_request("GET", path), stream=True)).status_code == 429:
        again.close()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    for answer in [*opened, again]:
        answer.close()


def test_a_stream_of_a_revoked_key_ends_within_a_second(http: httpx.Client, key: str, engine: Engine) -> None:
    with http.stream("GET", f"/v1/runs/{waiting_run(http)}/events") as answer:
        chunks = answer.iter_text()
        next(chunks)
        with transaction(engine) as connection:
            projects.revoke_key(connection, key.split(".", maxsplit=1)[0])
        begin = time.monotonic()
        for _ in chunks:
            assert time.monotonic() - begin < 5
        assert time.monotonic() - begin < 1.5


@pytest.mark.parametrize("removed", [False, True])
def test_a_stream_ends_within_a_second_of_its_session_or_its_membership(
    http: httpx.Client, engine: Engine, removed: bool
) -> None:
    del http.headers["Authorization"]
    run_id = waiting_run_by_session(http, engine)
    with http.stream("GET", f"/v1/runs/{run_id}/events") as answer:
        chunks = answer.iter_text()
        next(chunks)
        with transaction(engine) as connection:
            change = "UPDATE member SET removed_at" if removed else "UPDATE session SET ended_at"
            connection.execute(text(f"{change} = clock_timestamp()"))
        begin = time.monotonic()
        assert "revoked" in "".join(chunks)
        assert time.monotonic() - begin < 1.5


def test_a_stream_of_another_projects_run_ends_within_a_second_of_its_sharing(
    http: httpx.Client, engine: Engine
) -> None:
    with transaction(engine) as connection:
        theirs = {"Authorization": f"Bearer {projects.new_key(connection, 'speech', 'eve')}"}
    run_id = waiting_run(http)
    experiment = f"/v1/experiments/{http.get(f'/v1/runs/{run_id}').json()['experiment_id']}"
    assert http.post(f"{experiment}/share", json={"project": "speech"}).status_code == 202
    with http.stream("GET", f"/v1/runs/{run_id}/events", headers=theirs) as answer:
        chunks = answer.iter_text()
        next(chunks)
        time.sleep(1.2)  # while it is shared, checks let the stream go on
        assert http.post(f"{experiment}/unshare", json={"project": "speech"}).status_code == 202
        begin = time.monotonic()
        assert "revoked" in "".join(chunks)
        assert time.monotonic() - begin < 1.5
    assert http.get(f"/v1/runs/{run_id}/events", headers=theirs).status_code == 404


def waiting_run_by_session(http: httpx.Client, engine: Engine) -> str:
    with transaction(engine) as connection:
        key = projects.new_key(connection, "default", "ada")
    http.post("/v1/session", json={"key": key})
    http.headers["Origin"] = str(http.base_url).rstrip("/")
    return waiting_run(http)


def test_a_quiet_stream_shows_that_it_is_alive(http: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "HEARTBEAT_S", 0.1)
    with http.stream("GET", f"/v1/runs/{waiting_run(http)}/events") as answer:
        heard = 0
        for line in answer.iter_lines():
            heard += line == ": alive"
            if heard == 2:
                break
    assert heard == 2
