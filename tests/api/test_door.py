"""The door of the API: rates, admission, and what always passes."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx2 as httpx
import pytest
from fastapi.testclient import TestClient

from service.api.app import create_app
from service.process import runtime as runtime_module
from service.process.admission import Admission
from service.process.runtime import Runtime
from tests.fixtures.api import SPEC, quick

ALWAYS = [("GET", "/v1/livez"), ("HEAD", "/v1/livez"), ("GET", "/v1/readyz"), ("DELETE", "/v1/session")]


def opened(url: str, **given: Any) -> Iterator[TestClient]:
    with TestClient(create_app(quick(url).model_copy(update=given)), raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
def rated(shared_url: str, shared_key: str) -> Iterator[TestClient]:
    """Five requests at once of a key, ten of an address."""
    for client in opened(shared_url, requests_per_key=0.5, requests_per_address=1.0):
        client.headers["Authorization"] = f"Bearer {shared_key}"
        yield client


def test_a_key_is_told_what_is_left_and_refused_beyond_it(rated: TestClient) -> None:
    answers = [rated.get("/v1/me") for _ in range(6)]
    assert [each.status_code for each in answers] == [200] * 5 + [429]
    assert {each.headers["RateLimit-Policy"] for each in answers} == {'"key";q=5;w=10'}
    assert answers[0].headers["RateLimit"] == '"key";r=4;t=2'
    refused = answers[-1]
    assert refused.headers["RateLimit"] == '"key";r=0;t=2'
    assert refused.headers["Retry-After"] == "2"
    assert refused.json()["code"] == "rate_limited"
    assert "SADDLE_REQUESTS_PER_KEY" in refused.json()["detail"]
    for method, path in ALWAYS:
        assert rated.request(method, path, headers={"Origin": "http://testserver"}).status_code == 200, path


def test_keys_that_are_made_up_share_what_their_address_has(rated: TestClient) -> None:
    codes = [rated.get("/v1/nowhere", headers={"Authorization": f"Bearer {each}"}).status_code for each in range(11)]
    assert codes == [401] * 10 + [429]
    answer = rated.get("/v1/me")
    assert (answer.status_code, "SADDLE_REQUESTS_PER_ADDRESS" in answer.json()["detail"]) == (429, True)


def ask_from(server: TestClient, address: str) -> int:
    host = TestClient(server.app, client=(address, 1))
    host.app_state.update(server.app_state)
    return host.get("/v1/nowhere").status_code


def test_an_ipv6_host_shares_what_its_network_has(rated: TestClient) -> None:
    assert [ask_from(rated, f"2001:db8::{host:x}") for host in range(11)] == [401] * 10 + [429]
    assert ask_from(rated, "2001:db8:0:1::1") == 401


def runtime_of(client: TestClient) -> Runtime:
    runtime: Runtime = client.app_state["runtime"]
    return runtime


def test_beyond_what_is_answered_in_time_a_request_is_refused_at_once(shared_url: str, shared_key: str) -> None:
    for client in opened(shared_url, requests_at_once=8):
        client.headers["Authorization"] = f"Bearer {shared_key}"
        admission = runtime_of(client).admission
        for each in range(6):
            admission.enter(f"other {each}")
        answer = client.get("/v1/me")
        assert (answer.status_code, answer.json()["code"]) == (503, "overloaded")
        assert answer.headers["Retry-After"] == "2"
        assert client.post("/v1/experiments?dry_run=true", json=SPEC).status_code == 200, "changes have more room"
        for method, path in ALWAYS:
            assert client.request(method, path, headers={"Origin": "http://testserver"}).status_code == 200, path
        admission.leave("other 0")
        assert client.get("/v1/me").status_code == 200
        assert admission.working == 5, "each is counted off"


@pytest.fixture
def door(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """How many requests the server in a thread works for, once what is under way has come to rest."""
    made = list[Admission]()

    def keep(most: int) -> Admission:
        made.append(Admission(most))
        return made[-1]

    monkeypatch.setattr(runtime_module, "Admission", keep)

    def working() -> int:
        time.sleep(0.1)
        return made[-1].working

    return working


def test_what_waits_for_its_client_takes_no_room(door: Callable[[], int], live: str, key: str) -> None:
    headers = {"Authorization": f"Bearer {key}"}
    with httpx.Client(base_url=live, headers=headers) as client:
        run_id = client.post("/v1/experiments", json=SPEC).json()["runs"][0]["id"]
        with client.stream("GET", f"/v1/runs/{run_id}/events") as stream:
            next(stream.iter_lines())
            assert door() == 0, "a live stream"
        seen = list[int]()

        def body() -> Iterator[bytes]:
            yield b'{"key": '
            seen.append(door())
            yield b'"x"}'

        client.post("/v1/session", content=body(), headers={"Content-Type": "application/json"})
        assert seen == [0], "a body on its way"
