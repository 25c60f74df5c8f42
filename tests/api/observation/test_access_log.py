"""The access log: what a line says, and what it never does."""

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient

from service.api.app import create_app
from service.settings import Settings
from tests.fixtures.api import SPEC

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
def logged(settings: Settings, key: str) -> Iterator[TestClient]:
    app = create_app(settings.model_copy(update={"access_log": True, "root_path": "/saddle"}))
    with TestClient(app, raise_server_exceptions=False, headers={"Authorization": f"Bearer {key}"}) as client:
        yield client


def lines(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    return [json.loads(record.getMessage()) for record in caplog.records if record.name == "saddle.access"]


def test_a_line_says_who_asked_for_what_and_how_it_ended(
    logged: TestClient, key: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    answer = logged.post("/saddle/v1/experiments", json=SPEC, headers={"traceparent": TRACE})
    run = answer.json()["runs"][0]["id"]
    shown = logged.head(f"/saddle/v1/runs/{run}")
    posted, asked = lines(caplog)
    assert posted["request_id"] == answer.headers["X-Request-Id"]
    assert posted["trace_id"] == TRACE[3:35]
    assert (posted["method"], posted["route"], posted["status"]) == ("POST", "/v1/experiments", 201)
    assert posted["bytes"] == int(answer.headers["Content-Length"]), "as sent, packed"
    assert posted["key"] == key.partition(".")[0]
    assert (posted["member"], posted["session"], posted["address"]) == ("ada", "", "testclient")
    assert 0 < posted["ms"] < 60_000
    assert posted["time"].startswith("20")
    assert (asked["method"], asked["route"], asked["bytes"]) == ("HEAD", "/v1/runs/{run_id}", 0)
    assert asked["request_id"] == shown.headers["X-Request-Id"]


def test_what_is_refused_is_written_and_no_secret_is(
    logged: TestClient, key: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    secret = key.partition(".")[2]
    logged.get(f"/saddle/v1/runs?name={secret}")
    logged.get(f"/saddle/{secret}")
    logged.get("/saddle/v1/me", headers={"Authorization": f"Bearer {secret}"})
    logged.post("/saddle/v1/session", json={"key": key})
    logged.post("/saddle/v1/experiments", content=secret)
    found = lines(caplog)
    assert [line["status"] for line in found] == [422, 404, 401, 200, 415]
    assert [line["route"] for line in found] == ["/v1/runs", None, None, "/v1/session", "/v1/experiments"]
    assert found[2]["member"] is None
    assert secret not in json.dumps(found)


def test_a_line_break_in_a_request_makes_no_second_line(logged: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    logged.request("GET\u0085x", "/saddle/v1/me")
    (record,) = [record for record in caplog.records if record.name == "saddle.access"]
    assert "\n" not in record.getMessage()
    assert record.getMessage().isascii()


def test_where_it_is_off_there_is_none(shared: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    shared.get("/v1/me")
    assert lines(caplog) == []
