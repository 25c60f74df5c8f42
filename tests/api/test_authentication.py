"""Who may do what: a key for everything but the open routes, and nothing of another project is there."""

import re
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient
from sqlalchemy import Engine, text

from service.api.app import create_app
from service.api.middleware.authentication import OPEN_PATHS, is_open
from service.db.access import projects
from service.db.session import transaction
from service.settings import Settings
from tests.fixtures.api import SPEC

Submit = Callable[..., dict[str, Any]]


def routes(holder: Any) -> Iterator[tuple[str, str]]:
    """Every route there is, whatever the OpenAPI document says: (method, path)."""
    for route in holder.routes:
        if isinstance(route, APIRoute):
            yield from ((method, route.path) for method in sorted(route.methods))
        else:
            yield from routes(route.original_router)


EVERY = list(routes(create_app(Settings(database_url="postgresql+psycopg://"))))
GUARDED = [each for each in EVERY if not is_open(*each)]
ADMIN = "/v1/admin/"  # refused to everybody else, whatever they name
WITH_ID = [
    each
    for each in EVERY
    if re.search(r"\{(experiment|run|comparison)_id\}", each[1]) and not each[1].startswith(ADMIN)
]


def fill(path: str, ids: dict[str, str]) -> str:
    return re.sub(r"\{(\w+)\}", lambda found: ids.get(found[1], "x"), path)


def test_exactly_the_named_routes_are_open_and_all_are_documented() -> None:
    assert {path for _, path in EVERY} >= set(OPEN_PATHS)
    assert len(OPEN_PATHS) == 4
    assert set(EVERY) - set(GUARDED) == {("GET", path) for path in OPEN_PATHS} | {
        ("GET", "/page/{name:path}"),
        ("POST", "/v1/session"),
        ("GET", "/v1/sign_in"),
        ("GET", "/v1/provider/start"),
        ("GET", "/v1/provider/callback"),
        ("POST", "/v1/provider/finish"),
        ("POST", "/v1/invitations/open"),
        ("POST", "/v1/invitations/accept"),
    }
    documented = create_app(Settings(database_url="postgresql+psycopg://")).openapi()["paths"]
    assert {(method.upper(), path) for path, methods in documented.items() for method in methods} == {
        (method, path.replace(":path}", "}")) for method, path in EVERY
    }


@pytest.mark.parametrize(("method", "path"), GUARDED)
def test_without_a_key_nothing_answers(open_house: TestClient, method: str, path: str) -> None:
    answer = open_house.request(method, fill(path, {}))
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("path", OPEN_PATHS)
def test_the_open_routes_need_no_key(open_house: TestClient, path: str) -> None:
    assert open_house.get(path).status_code == 200


@pytest.mark.parametrize("path", ["/nothing", "/v1/livez/", "//v1/livez", "/v1/x/../me", "/docs", "/v1/me?x=/v1/livez"])
def test_what_is_not_there_is_not_told_to_strangers(open_house: TestClient, path: str) -> None:
    assert open_house.get(path).status_code == 401


@pytest.mark.parametrize(
    "header",
    ["", "Bearer", "Bearer x", "Basic eDp5", "Bearer key_00000000000000000000000000.", "Bearer{key}", "{key}"],
)
def test_a_key_that_is_none_opens_nothing(open_house: TestClient, shared_key: str, header: str) -> None:
    answer = open_house.get("/v1/me", headers={"Authorization": header.replace("{key}", shared_key)})
    assert answer.status_code == 401


def test_a_wrong_secret_and_an_unknown_key_get_the_same_answer(open_house: TestClient, shared_key: str) -> None:
    wrong = shared_key.partition(".")[0] + "." + "A" * 43
    unknown = "key_" + "0" * 26 + "." + "A" * 43
    answers = [open_house.get("/v1/me", headers={"Authorization": f"Bearer {each}"}) for each in (wrong, unknown)]
    assert [answer.status_code for answer in answers] == [401, 401]
    documents = [answer.json() | {"instance": ""} for answer in answers]
    assert documents[0] == documents[1]


def test_a_revoked_or_expired_key_stops_at_once(client: TestClient, key: str, engine: Engine) -> None:
    assert client.get("/v1/me").json()["member"] == "ada"
    with transaction(engine) as connection:
        projects.revoke_key(connection, key.partition(".")[0])
    assert client.get("/v1/me").status_code == 401
    with transaction(engine) as connection:
        connection.execute(text("UPDATE api_key SET revoked_at = NULL, expires_at = clock_timestamp()"))
    time.sleep(0.01)
    assert client.get("/v1/me").status_code == 401


BODIES: dict[tuple[str, str], Any] = {  # where an empty one is refused before anything is looked for
    ("PATCH", "/v1/runs/{run_id}"): {"priority": 1},
    ("POST", "/v1/runs/{run_id}/probes"): {"probes": [{"kind": "sharpness"}]},
    ("POST", "/v1/runs/{run_id}/predict"): {"rows": [[0.0] * 4]},
    ("POST", "/v1/comparisons/{comparison_id}/confirm/extend"): {"seeds": 1},
    ("POST", "/v1/experiments/{experiment_id}/comments"): {"text": "x"},
    **{
        ("POST", f"/v1/experiments/{{experiment_id}}/{verb}"): {"project": "default"}
        for verb in ("move", "share", "unshare")
    },
}


def test_another_project_finds_nothing_of_this_one(
    client: TestClient, submit: Submit, stranger: dict[str, str]
) -> None:
    posted = submit()
    asked = client.post("/v1/comparisons", json={"experiments": [posted["id"]]}).json()
    run_id = posted["runs"][0]["id"]
    ids = {"experiment_id": posted["id"], "run_id": run_id, "comparison_id": asked["id"]}
    for method, path in WITH_ID:
        answer = client.request(method, fill(path, ids), headers=stranger, json=BODIES.get((method, path), {}))
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found"), path
    for question in ({"experiments": [posted["id"]]}, {"runs": [run_id]}):
        assert client.post("/v1/comparisons", json=question, headers=stranger).status_code == 404
    for path in ("/v1/experiments", "/v1/runs"):
        assert client.get(path, headers=stranger).json()["items"] == []
    assert client.get(f"/v1/runs/{run_id}").json()["state"] == "queued", "nobody else cancelled it"


def test_idempotency_keys_of_two_projects_do_not_meet(client: TestClient, stranger: dict[str, str]) -> None:
    mine = client.post("/v1/experiments", json=SPEC, headers={"Idempotency-Key": "a"})
    theirs = client.post("/v1/experiments", json=SPEC, headers={"Idempotency-Key": "a", **stranger})
    assert mine.json()["id"] != theirs.json()["id"]


def test_only_known_host_names_are_answered(settings: Settings, key: str) -> None:
    settings = settings.model_copy(update={"allowed_hosts": "saddle.example, localhost"})
    with TestClient(create_app(settings), headers={"Authorization": f"Bearer {key}"}) as client:
        for host, status in {"saddle.example": 200, "LOCALHOST:8000": 200, "evil.example": 421, "": 421}.items():
            for path in ("/v1/me", "/v1/livez"):
                assert client.get(path, headers={"Host": host}).status_code == status, host


def test_every_answer_has_an_id_and_safe_headers(client: TestClient) -> None:
    for path in ("/", "/v1/me", "/nothing"):
        headers = client.get(path).headers
        assert headers["X-Request-Id"].startswith("req_")
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert "default-src 'self'" in headers["Content-Security-Policy"]
