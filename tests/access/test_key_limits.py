"""Limits of a key: what it may queue and train in a day, for itself and the studies it posts; and dry runs to read."""

from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine, text

from service.db.access import quota_use
from service.db.access.projects import new_key
from service.db.runs import claims
from service.db.session import transaction
from service.settings import Settings
from service.studies.advance import advance
from tests.fixtures.api import SPEC, Worker, points

Make = Callable[..., dict[str, str]]
STUDY = {
    "base": SPEC,
    "space": {"/optimizer/lr": {"kind": "log_uniform", "low": 0.01, "high": 1}},
    "budget": {"trials": 9},
    "parallel": 9,
    "sampler": "random",
}


@pytest.fixture
def make(client: TestClient) -> Make:
    def made(**wanted: Any) -> dict[str, str]:
        answer = client.post("/v1/keys", json={"name": "robot", "scope": "submit"} | wanted)
        assert answer.status_code == 201, answer.text
        return {"Authorization": f"Bearer {answer.json()['key']}"}

    return made


def post(client: TestClient, headers: dict[str, str] | None, seeds: int = 1, status: int = 201, query: str = "") -> Any:
    answer = client.post(f"/v1/experiments{query}", json=SPEC | {"seeds": list(range(seeds))}, headers=headers)
    assert answer.status_code == status, answer.text
    return answer.json()


def test_a_key_queues_no_more_runs_in_a_day_than_it_was_given(client: TestClient, make: Make, engine: Engine) -> None:
    key, other = make(runs_per_day=3), make(runs_per_day=3)
    first = post(client, key, 2)
    for query in ("", "?dry_run=true"):
        (problem,) = post(client, key, 2, 409, query)["errors"]
        assert problem["pointer"] == "/quotas/key/runs_per_day"
        told = {"quota": "runs_per_day", "of": "key", "limit": 3, "used": 2, "asked": 2}
        assert (problem["code"], problem["limit"]) == ("quota_exceeded", told)
    assert "3 runs queued in a day (UTC); 2 are used, and this asks for 2 more" in problem["detail"]
    run = first["runs"][0]["id"]
    client.post(f"/v1/runs/{run}/cancel", headers=key)
    assert client.post(f"/v1/runs/{run}/retry", headers=key).status_code == 201, "which counts"
    assert client.post(f"/v1/runs/{run}/retry", headers=key).status_code == 409
    post(client, other, 3)
    post(client, None, 5)
    (shown,) = client.get("/v1/quotas", headers=key).json()["key"]
    assert (shown["name"], shown["limit"], shown["used"]) == ("runs_per_day", 3, 3)
    assert client.get("/v1/quotas").json()["key"] == []
    with transaction(engine) as connection:
        connection.execute(text("UPDATE run SET created_at = created_at - interval '1 day' WHERE key_id IS NOT NULL"))
    post(client, key, 3)


def test_a_keys_studies_count_for_it_and_wait(
    client: TestClient, make: Make, engine: Engine, settings: Settings
) -> None:
    key = make(runs_per_day=4)
    study = client.post("/v1/studies", json=STUDY, headers=key).json()["id"]
    advance(engine, settings)
    found = client.get(f"/v1/studies/{study}").json()
    assert (found["state"], found["trials"]) == ("running", {"running": 4})
    assert found["why"].startswith("waits for the quota: The key key_")
    assert post(client, key, 1, 409)["code"] == "quota_exceeded"


def test_device_time_that_is_used_up_refuses_and_holds_what_waits(
    client: TestClient, make: Make, engine: Engine, worker: Worker
) -> None:
    key = make(device_s_per_day=100)
    posted = post(client, key, 2)
    assert {each["limit_s"] for each in posted["runs"]} == {100}, "one run may not use more either"
    held = worker.claim()
    worker.finish(held, points(1, 50))
    with transaction(engine) as connection:
        began = "date_trunc('day', clock_timestamp(), 'UTC')"
        spent = f"UPDATE attempt SET started_at = {began} - interval '1 h', ended_at = {began} + :s * interval '1 s'"
        connection.execute(text(spent), {"s": 99})
        quota_use.count(connection)
    post(client, key)
    with transaction(engine) as connection:
        connection.execute(text("UPDATE attempt SET ended_at = ended_at + interval '1 s'"))
        quota_use.count(connection)
    (problem,) = post(client, key, 1, 409)["errors"]
    assert problem["pointer"] == "/quotas/key/device_s_per_day"
    with transaction(engine) as connection:
        assert claims.claim(connection, ["cpu"], "w", "l") is None, "the two that wait start tomorrow"
    unlimited = post(client, None)["runs"][0]["id"]
    assert worker.claim().run_id == unlimited, "others' do not"


def test_a_key_with_limits_makes_no_other(client: TestClient, make: Make) -> None:
    key = make(runs_per_day=3, scope="admin")
    refused = client.post("/v1/keys", json={"name": "more", "scope": "submit"}, headers=key)
    assert (refused.status_code, "makes no other" in refused.json()["detail"]) == (403, True)
    own = next(each["id"] for each in client.get("/v1/keys", headers=key).json()["items"] if each["current"])
    assert client.post(f"/v1/keys/{own}/rotate", headers=key).status_code == 403
    rotated = client.post(f"/v1/keys/{own}/rotate").json()
    assert (rotated["runs_per_day"], rotated["device_s_per_day"]) == (3, None), "its limits stay"
    refused = client.post("/v1/keys", json={"name": "x", "runs_per_day": -1})
    assert refused.json()["errors"][0]["pointer"] == "/runs_per_day"


@pytest.mark.parametrize(("path", "document"), [("/v1/experiments", SPEC), ("/v1/studies", STUDY)])
def test_a_key_that_reads_may_try_dry_runs_and_store_nothing(
    client: TestClient, engine: Engine, path: str, document: dict[str, Any]
) -> None:
    with transaction(engine) as connection:
        keys = [
            new_key(connection, "default", "ada", scope="read"),
            new_key(connection, "default", "vera", role="viewer"),
        ]
    for key in keys:
        headers = {"Authorization": f"Bearer {key}"}
        assert client.post(f"{path}?dry_run=true", json=document, headers=headers).status_code == 200
        for query in ("", "?dry_run=false", "?dry_run=1", "?dry_run=true&dry_run=false", "?dry_run=false&dry_run=true"):
            assert client.post(f"{path}{query}", json=document, headers=headers).status_code == 403, query
    assert client.get(path).json()["items"] == []
