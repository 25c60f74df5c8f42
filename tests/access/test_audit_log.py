"""The audit is read and exported by admins, and records who was refused, within a bound."""

import csv
import io
import json
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine, text

from service.db.access import audit, audit_log
from service.db.access.principal import Principal
from service.db.access.projects import new_key
from service.db.session import transaction
from service.process.refusals import MAX_ACTORS, Refusals
from service.process.upkeep import Upkeep

Submit = Callable[..., dict[str, Any]]


@pytest.fixture
def written(engine: Engine, principal: Principal, client: TestClient) -> None:
    """Rows of two actors, one of them with a name that a spreadsheet would compute."""
    with transaction(engine) as connection:
        for n in range(5):
            audit.record(connection, principal, "run.cancel", f"run_{n}", n=n)
        audit.record(connection, replace(principal, member="=1+1"), "experiment.submit", "exp_1", name="a,b")


def listed(client: TestClient, query: str = "", **more: Any) -> list[dict[str, Any]]:
    answer = client.get(f"/v1/audit{query}", **more)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["items"]
    return found


@pytest.mark.usefixtures("written")
def test_admins_read_it_newest_first_page_by_page(client: TestClient) -> None:
    everything = listed(client)
    assert [each["target"] for each in everything] == ["exp_1", "run_4", "run_3", "run_2", "run_1", "run_0"]
    found, at = [], "/v1/audit?limit=4"
    while at:
        answer = client.get(at)
        found += answer.json()["items"]
        at = answer.links.get("next", {}).get("url", "")
    assert found == everything


@pytest.mark.usefixtures("written")
@pytest.mark.parametrize(
    ("query", "n"),
    [
        *(("?action=run", 5), ("?action=run.cancel", 5), ("?action=run.pause", 0), ("?action=ru", 0)),
        *(("?actor=ada", 5), ("?actor=%3D1%2B1", 1), ("?target=run_3", 1), ("?actor=ada&target=exp_1", 0)),
        *(("?since=2020-01-01T00:00:00Z", 6), ("?until=2020-01-01T00:00:00Z", 0)),
    ],
)
def test_it_is_filtered_by_person_action_object_and_time(client: TestClient, query: str, n: int) -> None:
    assert len(listed(client, query)) == n


@pytest.mark.parametrize("query", ["?action=Run", "?since=yesterday", "?since=2026-01-01T00:00:00", "?cursor=x"])
def test_a_filter_that_means_nothing_is_refused(client: TestClient, query: str) -> None:
    assert client.get(f"/v1/audit{query}").status_code == 422


@pytest.mark.usefixtures("written")
def test_it_is_exported_as_csv_and_as_lines_of_json_and_that_is_recorded(client: TestClient) -> None:
    answer = client.get("/v1/audit/export?action=experiment")
    (row,) = csv.DictReader(io.StringIO(answer.text))
    assert (row["actor"], row["action"], json.loads(row["data"])) == ("'=1+1", "experiment.submit", {"name": "a,b"})
    assert answer.headers["content-disposition"] == 'attachment; filename="audit.csv"'
    lines = client.get("/v1/audit/export?format=ndjson").text.splitlines()
    assert [json.loads(line)["action"] for line in lines] == ["audit.export"] * 2 + ["experiment.submit"] + [
        "run.cancel"
    ] * 5


def test_only_admins_read_it_and_only_their_own(
    client: TestClient, engine: Engine, submit: Submit, stranger: dict[str, str]
) -> None:
    submit()
    assert len(listed(client)) == 1
    assert listed(client, headers=stranger) == []
    assert client.get("/v1/admin/audit").status_code == 403
    with transaction(engine) as connection:
        bob = {"Authorization": f"Bearer {new_key(connection, 'default', 'bob')}"}
        connection.execute(text("UPDATE account SET admin = true WHERE name = 'eve'"))
    assert client.get("/v1/audit", headers=bob).status_code == 403
    found = client.get("/v1/admin/audit", headers=stranger).json()["items"]
    assert [(each["project"], each["action"]) for each in found] == [("default", "experiment.submit")]
    assert client.get("/v1/admin/audit?project=elsewhere", headers=stranger).json()["items"] == []
    assert client.get("/v1/admin/audit?project=nowhere", headers=stranger).status_code == 404
    assert len(client.get("/v1/admin/audit/export", headers=stranger).text.splitlines()) == 3


def test_who_is_refused_is_counted_by_the_minute(client: TestClient, engine: Engine, submit: Submit, key: str) -> None:
    made = submit()
    with transaction(engine) as connection:
        bob = {"Authorization": f"Bearer {new_key(connection, 'default', 'bob')}"}
    for _ in range(3):
        assert client.post(f"/v1/experiments/{made['id']}/cancel", headers=bob).status_code == 403
    for n in range(5):
        assert client.get(f"/v1/experiments/{n}", headers={"Authorization": f"Bearer {key}x"}).status_code == 401
    assert client.post("/v1/session", json={"key": "nonsense"}).status_code == 422
    runtime = client.app_state["runtime"]
    Upkeep(runtime.engine, runtime.settings, runtime.key_use, runtime.refusals, threading.Event()).look()
    with transaction(engine) as connection:
        found = connection.execute(text("SELECT * FROM audit WHERE action = 'request.refused'")).mappings().all()
    rows = {row["actor"]: row for row in found}
    assert set(rows) == {"bob", "nobody"}
    mine = rows["bob"]
    assert mine["data"] == {"status": 403, "method": "POST", "path": "/v1/experiments", "times": 3}
    assert all((mine["project_id"], mine["account_id"], mine["key_id"], mine["request_id"]))
    nobody = rows["nobody"]
    assert (nobody["data"]["times"], nobody["project_id"], nobody["address"]) == (6, None, "testclient")


def test_a_flood_of_refusals_is_a_bounded_number_of_rows() -> None:
    refusals = Refusals()
    for n in range(10 * MAX_ACTORS):
        refusals.note({}, "GET", "/v1/me", 401, f"10.0.{n // 256}.{n % 256}")
    rows = refusals.take()
    assert len(rows) == MAX_ACTORS + 1
    assert rows[-1]["data"]["times"] == 9 * MAX_ACTORS
    assert refusals.take() == []


def test_what_is_old_is_erased_by_the_owner_alone(engine: Engine, client: TestClient, submit: Submit) -> None:
    submit()
    with transaction(engine) as connection:
        aged = "UPDATE audit SET at = now() - interval '31 days'"
        connection.execute(text(aged))
    submit()
    with transaction(engine) as connection:
        assert audit_log.erase_old(connection, 32) == 0
        assert audit_log.erase_old(connection, 30) == 1
    assert len(listed(client)) == 1


@pytest.mark.parametrize("given", ["0", "1764374400", "2026-11-29"])
def test_a_moment_is_no_bare_number_and_has_a_zone(shared: TestClient, given: str) -> None:
    refused = shared.get(f"/v1/audit?since={given}")
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["detail"] == "write a time with its zone, as 2026-11-29T00:00:00Z."
