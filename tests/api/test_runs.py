"""Runs over HTTP: what they are doing, how they ended, who executed them."""

import time
from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine, text

from service.db.runs import log_lines, reaper
from service.db.runs.log_lines import LogLine
from service.db.session import transaction
from service.lifecycle import State
from tests.fixtures.api import Worker, points

Submit = Callable[..., dict[str, Any]]


def test_a_run_shows_its_progress_and_the_summaries_of_its_series(
    client: TestClient, submit: Submit, worker: Worker
) -> None:
    submit()
    held = worker.claim()
    worker.flush(held, points(1, 250))
    run = client.get(f"/v1/runs/{held.run_id}").json()
    assert (run["state"], run["step"], run["total_steps"], run["progress"]) == ("running", 250, 1000, 0.25)
    assert run["series"]["loss"] == {
        "n": 250,
        "last": 1 / 250,
        "last_step": 250,
        "final": pytest.approx(sum(1 / step for step in range(1, 251)) / 250),  # of the newest flush, while it trains
        "final_from": 1,
        "min": 1 / 250,
        "min_step": 250,
        "max": 1.0,
        "max_step": 1,
        "nonfinite": 0,
    }


def test_a_failed_run_says_why(client: TestClient, submit: Submit, worker: Worker) -> None:
    submit()
    held = worker.claim()
    failure = {"code": "diverged", "detail": "The loss became NaN.", "step": 7, "evidence": {"loss": float("nan")}}
    worker.finish(held, state=State.FAILED, failure=failure)
    run = client.get(f"/v1/runs/{held.run_id}").json()
    assert run["state"] == "failed"
    assert run["failure"] == failure | {"evidence": {"loss": "NaN"}}
    assert run["finished_at"].endswith("Z")


def test_runs_are_listed_newest_first_and_by_state(client: TestClient, submit: Submit, worker: Worker) -> None:
    posted = submit(seeds=[0, 1, 2])
    held = worker.claim()
    ids = sorted((run["id"] for run in posted["runs"]), reverse=True)
    assert [run["id"] for run in client.get("/v1/runs").json()["items"]] == ids
    running = client.get("/v1/runs?state=running").json()["items"]
    assert [run["id"] for run in running] == [held.run_id]
    page = client.get("/v1/runs?limit=1&state=queued")
    following = client.get(page.links["next"]["url"]).json()["items"]
    assert [run["state"] for run in following] == ["queued"]
    assert following[0]["id"] < page.json()["items"][0]["id"]


def test_attempts_tell_what_was_lost(client: TestClient, submit: Submit, worker: Worker, engine: Engine) -> None:
    submit()
    first = worker.claim()
    worker.save(first, 100, points(1, 100))
    worker.flush(first, points(101, 150))
    with transaction(engine) as connection:
        (beat,) = reaper.beats(connection)
        reaper.reap(connection, beat)
    worker.claim()
    lost, now = client.get(f"/v1/runs/{first.run_id}/attempts").json()["items"]
    assert (lost["attempt"], lost["start_step"], lost["cut_step"], lost["ending"]) == (1, 0, 100, "lost")
    assert (now["attempt"], now["start_step"], now["ended_at"]) == (2, 100, None)


def test_a_running_run_is_asked_to_stop_and_an_ended_one_refuses(
    client: TestClient, submit: Submit, worker: Worker
) -> None:
    submit()
    held = worker.claim()
    asked = client.post(f"/v1/runs/{held.run_id}/cancel")
    assert (asked.status_code, asked.json()["displayed"]) == (202, "cancelling")
    worker.finish(held, points(1, 1000))
    refused = client.post(f"/v1/runs/{held.run_id}/cancel")
    assert (refused.status_code, refused.json()["code"]) == (409, "conflict")


def test_a_waiting_run_is_cancelled_at_once_and_twice_is_harmless(client: TestClient, submit: Submit) -> None:
    run_id = submit()["runs"][0]["id"]
    for _ in range(2):
        answer = client.post(f"/v1/runs/{run_id}/cancel")
        assert (answer.status_code, answer.json()["state"]) == (202, "cancelled")


def said(*texts: str, first: int = 1) -> list[LogLine]:
    return [LogLine(first + at, time.monotonic(), "output", "info", text) for at, text in enumerate(texts)]


def test_a_log_is_read_by_pages_from_its_end_and_as_text(
    client: TestClient, submit: Submit, worker: Worker, engine: Engine
) -> None:
    submit()
    held = worker.claim()
    for _ in range(2):  # the answer of the first was lost
        with transaction(engine) as connection:
            log_lines.add(connection, held.run_id, held.attempt, said("one", "two"))
    address = f"/v1/runs/{held.run_id}/log"
    first = client.get(f"{address}?limit=1")
    assert [line["text"] for line in first.json()["items"]] == ["one"]
    following = client.get(first.links["next"]["url"]).json()
    assert ([line["text"] for line in following["items"]], following["next_cursor"]) == (["two"], None)
    place = "{attempt}.{number}".format(**following["items"][-1])
    assert client.get(f"{address}?cursor={place}").json() == {"items": [], "next_cursor": None}
    with transaction(engine) as connection:
        log_lines.add(connection, held.run_id, held.attempt, said("three", first=3))
    assert [line["text"] for line in client.get(f"{address}?cursor={place}").json()["items"]] == ["three"]
    assert [line["text"] for line in client.get(f"{address}?newest=true&limit=2").json()["items"]] == ["two", "three"]
    whole = client.get(f"{address}.txt")
    assert [line.partition("[1] ")[2] for line in whole.text.splitlines()] == ["> one", "> two", "> three"]
    assert whole.headers["content-type"].startswith("text/plain")
    assert client.get(f"{address}?cursor=1").status_code == 422


def test_a_log_goes_with_its_experiment_and_others_do_not_see_it(
    client: TestClient, stranger: dict[str, str], submit: Submit, worker: Worker, engine: Engine
) -> None:
    posted = submit()
    held = worker.claim()
    with transaction(engine) as connection:
        log_lines.add(connection, held.run_id, held.attempt, said("secret"))
    for address in (f"/v1/runs/{held.run_id}/log", f"/v1/runs/{held.run_id}/log.txt"):
        assert client.get(address, headers=stranger).status_code == 404
    worker.finish(held)
    assert client.delete(f"/v1/experiments/{posted['id']}?forever=true").is_success
    with transaction(engine) as connection:
        assert connection.execute(text("SELECT count(*) FROM log_line")).scalar_one() == 0
