"""Experiments over HTTP: posted once, listed, read, cancelled."""

import statistics
import time
from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine, text
from starlette.types import Message, Receive, Scope, Send

from service.api.app import create_app
from service.db.access.principal import Principal
from service.db.session import transaction
from service.experiments import submit as submission
from service.experiments.context import Context
from service.settings import Settings
from service.spec.parse.presets import presets
from tests.fixtures.api import SPEC, Worker, points
from tests.harness.statements import sent_statements

Submit = Callable[..., dict[str, Any]]


def stored(engine: Engine) -> int:
    with transaction(engine) as connection:
        return connection.execute(text("SELECT count(*) FROM experiment")).scalar_one()


def test_a_posted_spec_comes_back_normalised_with_a_run_for_each_seed(client: TestClient) -> None:
    answer = client.post("/v1/experiments", json=SPEC | {"seeds": [3, 1]})
    posted = answer.json()
    assert answer.status_code == 201
    assert answer.headers["Location"] == f"/v1/experiments/{posted['id']}"
    assert posted["spec"]["optimizer"]["momentum"] == 0.0
    assert next(iter(posted["spec"]["optimizer"])) == "kind"
    assert [run["seed"] for run in posted["runs"]] == [1, 3]
    assert {run["state"] for run in posted["runs"]} == {"queued"}
    derived = posted["derived"]
    assert (derived["parameters"], derived["steps_per_epoch"], derived["total_steps"]) == (15, 4, 1000)
    assert [group["label"] for group in derived["groups"]] == ["default"]
    assert derived["effective"]["lr"]["first"] == 0.1
    assert derived["memory_bytes"] > 15 * 4
    assert posted["owner"] == "ada"
    read = client.get(answer.headers["Location"]).json()
    assert read["spec"] == posted["spec"]
    assert read["hash"] == posted["hash"]


@pytest.mark.parametrize("seeds", [1, 50])
@pytest.mark.parametrize("pool", ["cpu", "nobody"])
def test_a_post_reads_workers_and_quotas_once_and_stores_the_experiment_and_its_runs_in_a_statement_each(
    engine: Engine, principal: Principal, settings: Settings, served: None, seeds: int, pool: str
) -> None:
    document = SPEC | {"seeds": list(range(seeds)), "pool": pool}
    with transaction(engine) as connection, sent_statements() as statements:
        made = submission.submit(Context(connection, principal, settings), document)
    assert len(made.answer.runs) == seeds
    assert len(statements) == 4


@pytest.mark.usefixtures("served")
def test_a_dry_run_answers_alike_and_stores_nothing(client: TestClient, engine: Engine) -> None:
    spec = SPEC | {"dataset": {"kind": "iris", "validation": 0.0}}
    answer = client.post("/v1/experiments?dry_run=true", json=spec)
    assert answer.status_code == 200
    assert answer.json()["id"] is None
    assert [each["code"] for each in answer.json()["warnings"]] == ["no_validation"]
    assert stored(engine) == 0


def test_the_row_is_committed_before_the_response_begins(settings: Settings, key: str, engine: Engine) -> None:
    app = create_app(settings)
    seen: list[int] = []

    async def watched(scope: Scope, receive: Receive, send: Send) -> None:
        async def look(message: Message) -> None:
            if message["type"] == "http.response.start":
                seen.append(stored(engine))
            await send(message)

        await app(scope, receive, look if scope["type"] == "http" else send)

    with TestClient(watched) as client:
        client.post("/v1/experiments", json=SPEC, headers={"Authorization": f"Bearer {key}"})
    assert seen == [1]


def test_the_same_key_and_body_give_the_first_answer_again(client: TestClient, engine: Engine) -> None:
    once = client.post("/v1/experiments", json=SPEC, headers={"Idempotency-Key": "a"})
    again = client.post("/v1/experiments", json=SPEC, headers={"Idempotency-Key": "a"})
    assert once.json() == again.json()
    assert again.status_code == 201
    assert again.headers["Location"] == once.headers["Location"]
    assert "Idempotent-Replayed" not in once.headers
    assert again.headers["Idempotent-Replayed"] == "true"
    assert stored(engine) == 1


def test_the_same_key_with_another_body_is_a_conflict(client: TestClient) -> None:
    client.post("/v1/experiments", json=SPEC, headers={"Idempotency-Key": "a"})
    other = client.post("/v1/experiments", json=SPEC | {"steps": 2}, headers={"Idempotency-Key": "a"})
    assert (other.status_code, other.json()["code"]) == (409, "conflict")


def test_every_contradiction_is_told_at_once(client: TestClient) -> None:
    wrong = SPEC | {"epochs": 3, "seeds": [1, 1], "loss": {"kind": "mse"}}
    answer = client.post("/v1/experiments", json=wrong)
    assert answer.status_code == 422
    assert {each["pointer"] for each in answer.json()["errors"]} >= {"/steps", "/seeds", "/loss/kind"}


def test_pages_hold_every_experiment_once_newest_first(client: TestClient, submit: Submit) -> None:
    made = [submit(name=f"e{i}")["id"] for i in range(5)]
    seen: list[str] = []
    path: str | None = "/v1/experiments?limit=2"
    while path:
        answer = client.get(path)
        seen += [item["id"] for item in answer.json()["items"]]
        cursor = answer.json()["next_cursor"]
        path = answer.links["next"]["url"] if cursor else None
        assert (path is None) == (cursor is None)
    assert seen == made[::-1]


def test_items_of_the_list_count_their_runs_by_state(client: TestClient, submit: Submit, worker: Worker) -> None:
    submit(seeds=[0, 1, 2])
    worker.claim()
    (item,) = client.get("/v1/experiments").json()["items"]
    assert item["runs"] == {"queued": 2, "running": 1}


def test_cancelling_an_experiment_ends_what_waits_and_asks_what_runs(
    client: TestClient, submit: Submit, worker: Worker
) -> None:
    posted = submit(seeds=[0, 1, 2])
    done, held = worker.claim(), worker.claim()
    worker.finish(done, points(1, 1000))
    answer = client.post(f"/v1/experiments/{posted['id']}/cancel")
    assert answer.status_code == 202
    states = {run["id"]: (run["state"], run["displayed"]) for run in answer.json()["runs"]}
    assert states.pop(done.run_id) == ("succeeded", "succeeded")
    assert states.pop(held.run_id) == ("running", "cancelling")
    assert list(states.values()) == [("cancelled", "cancelled")]


@pytest.mark.usefixtures("served")
@pytest.mark.parametrize("name", sorted(presets()))
def test_a_preset_can_be_posted_as_it_is(client: TestClient, name: str) -> None:
    spec = client.get(f"/v1/presets/{name}").json()
    answer = client.post("/v1/experiments", json=spec)
    assert answer.status_code == 201
    assert answer.json()["spec"] == spec
    assert answer.json()["warnings"] == []


def test_a_broker_that_is_away_does_not_delay_the_answer(settings: Settings, key: str) -> None:
    settings = settings.model_copy(update={"broker_url": "redis://127.0.0.1:1"})
    headers = {"Authorization": f"Bearer {key}"}
    with TestClient(create_app(settings)) as client:
        client.post("/v1/experiments", json=SPEC, headers=headers)
        waits = []
        for _ in range(5):
            begin = time.monotonic()
            assert client.post("/v1/experiments", json=SPEC, headers=headers).status_code == 201
            waits.append(time.monotonic() - begin)
        assert statistics.median(waits) < 0.5
        deadline = time.monotonic() + 20
        while client.get("/v1/readyz").json()["broker"] != "away":
            assert time.monotonic() < deadline
            time.sleep(0.05)
