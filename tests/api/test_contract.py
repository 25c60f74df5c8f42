"""Schemathesis against the API: whatever is sent, no server error, and every refusal is a small problem document."""

import json
from collections.abc import Callable, Iterator

import pytest
from fastapi.testclient import TestClient

from service.api.app import create_app
from service.db.session import ROOT
from tests.fixtures.api import quick

PATHS = json.loads((ROOT / "docs" / "openapi.json").read_text())["paths"]  # test_openapi: it is the served one
CASES = [(method, path, mode) for path, of in PATHS.items() for method in of for mode in ("positive", "negative")]
CASES = [case for case in CASES if case[1] != "/v1/events"]  # a project's stream has no end: tests/streaming reads it
DRAWN = 6  # requests of an operation and mode here; `python -m tests.api.fuzzing` draws 50,000
Send = Callable[..., None]


@pytest.fixture(scope="module")
def send(shared_url: str, shared_key: str) -> Iterator[Send]:
    from tests.api.fuzzing import Fuzzer  # late: it imports schemathesis, which takes a second

    fuzzer = Fuzzer(create_app(quick(shared_url)), shared_key)
    yield fuzzer.send
    fuzzer.close()


@pytest.mark.parametrize(("method", "path", "mode"), CASES)
def test_any_request_is_answered_as_documented(send: Send, method: str, path: str, mode: str) -> None:
    send(method, path, mode, DRAWN)


@pytest.mark.parametrize("query", ["from=yesterday", "last_event_id=nowhere", "last_event_id=-1"])
def test_a_projects_stream_refuses_a_position_it_never_sent(shared: TestClient, query: str) -> None:
    assert shared.get(f"/v1/events?{query}").status_code == 422
