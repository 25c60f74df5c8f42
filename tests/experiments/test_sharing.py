"""Experiments that move to another project, or that another project may read."""

from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine

from service.access.rules import RULES
from service.db.access.projects import new_key
from service.db.session import transaction
from service.levels import Level
from tests.access.test_matrix import OPERATIONS
from tests.api.test_authentication import BODIES, fill
from tests.experiments.test_bin import SPEC, _table, trained
from tests.fixtures.api import Worker

Submit = Callable[..., dict[str, Any]]


@pytest.fixture
def other(engine: Engine) -> Callable[..., dict[str, str]]:
    """Return the header of a member of the other project."""

    def key(name: str = "ada", **more: str) -> dict[str, str]:
        with transaction(engine) as connection:
            return {"Authorization": f"Bearer {new_key(connection, 'other', name, **more)}"}

    key("olga")  # its admin
    return key


Other = Callable[..., dict[str, str]]


def test_an_experiment_moves_with_all_that_belongs_to_it(
    client: TestClient, submit: Submit, worker: Worker, other: Other
) -> None:
    there = other()
    upload = client.post("/v1/datasets?name=x", content=b"size,kind\n" + b"1,a\n2,b\n" * 40).json()["id"]
    posted = trained(submit, worker, dataset=_table(upload))
    run, at = posted["runs"][0]["id"], f"/v1/experiments/{posted['id']}"
    fork = client.post(f"/v1/runs/{run}/forks", json={"step": 20, "changes": {"steps": 60}}).json()
    client.post(f"{at}/comments", json={"text": "moves too"})
    before = client.get(f"/v1/runs/{run}/series").json()
    assert client.post(f"{at}/move", json={"project": "other"}).json() == {"id": posted["id"], "project": "other"}
    for path in (at, f"/v1/runs/{run}", f"/v1/runs/{run}/series", f"/v1/runs/{run}/checkpoints", f"{at}/comments"):
        assert client.get(path).status_code == 404, path
        assert client.get(path, headers=there).status_code == 200, path
    assert [each["id"] for each in client.get("/v1/experiments").json()["items"]] == [fork["id"]]
    found = client.get(at, headers=there).json()
    assert (found["owner"], found["hash"], found["project"], found["shared"]) == ("ada", posted["hash"], "other", False)
    assert client.get(f"/v1/runs/{run}/series", headers=there).json() == before
    assert client.get(f"{at}/comments", headers=there).json()["items"][0]["text"] == "moves too"
    again = client.post("/v1/experiments", json=SPEC | {"dataset": _table(upload)}, headers=there)
    assert again.status_code == 201, "its upload can be trained on there too"
    assert client.delete(f"/v1/datasets/{upload}", headers=there).status_code == 409
    refused = client.delete(f"/v1/datasets/{upload}")
    assert refused.status_code == 409
    client.post(f"/v1/experiments/{again.json()['id']}/cancel", headers=there)
    held = worker.claim()
    assert (held.run_id, held.start_step) == (fork["runs"][0]["id"], 20), "a fork that stays behind goes on"


def test_a_move_needs_an_end_and_a_right_to_submit_there(
    client: TestClient, submit: Submit, other: Other, engine: Engine
) -> None:
    at = f"/v1/experiments/{submit()['id']}/move"
    for place in ("other", "nowhere"):
        refused = client.post(at, json={"project": place})
        assert (refused.status_code, "You are in no project" in refused.json()["detail"]) == (404, True)
    other("ada", role="viewer")
    assert client.post(at, json={"project": "other"}).status_code == 403
    with transaction(engine) as connection:
        connection.exec_driver_sql("UPDATE member SET role = 'member' WHERE role = 'viewer'")
    assert client.post(at, json={"project": "other"}).status_code == 409, "a run waits"
    client.post(at.replace("/move", "/cancel"))
    assert client.post(at, json={"project": "default"}).status_code == 409, "it is there already"
    narrow = client.post("/v1/keys", json={"name": "x", "scope": "read"}).json()["key"]
    assert client.post(at, json={"project": "other"}, headers={"Authorization": f"Bearer {narrow}"}).status_code == 403
    assert client.post(at, json={"project": "other"}).status_code == 202


def test_a_shared_experiment_is_read_and_never_changed(
    client: TestClient, submit: Submit, worker: Worker, other: Other, stranger: dict[str, str]
) -> None:
    there, posted = other("olga"), trained(submit, worker, name="theirs")
    run, at = posted["runs"][0]["id"], f"/v1/experiments/{posted['id']}"
    client.post(f"{at}/comments", json={"text": "among us"})
    assert client.get(at, headers=there).status_code == 404
    shares = client.post(f"{at}/share", json={"project": "other"}).json()["items"]
    assert [(each["project"], each["shared_by"]) for each in shares] == [("other", "ada")]
    view = client.get(at, headers=there).json()
    assert (view["name"], view["project"], view["shared"]) == ("theirs", "default", True)
    parts = ("", "/attempts", "/history", "/series", "/readings", "/checkpoints", "/replays", "/diagnosis")
    for part in parts:
        mine, seen = (client.get(f"/v1/runs/{run}{part}", headers=who) for who in ({}, there))
        assert (seen.status_code, seen.json()) == (200, mine.json()), part
    assert client.get(f"/v1/runs/{run}/events", headers=there).status_code == 200
    assert client.get("/v1/experiments", headers=there).json()["items"] == []
    listed = client.get("/v1/experiments?shared=true", headers=there).json()["items"]
    assert [(each["id"], each["project"]) for each in listed] == [(posted["id"], "default")]
    own = client.post("/v1/experiments", json=SPEC, headers=there).json()["id"]
    asked = {"experiments": [own, posted["id"]], "series": ["loss"]}
    comparison = client.post("/v1/comparisons", json=asked, headers=there)
    assert comparison.status_code == 201
    assert client.get(comparison.headers["Location"], headers=there).status_code == 200
    assert client.get(f"{at}/comments", headers=there).json()["items"] == [], "what its own project says stays there"

    ids = {"experiment_id": posted["id"], "run_id": run}
    for operation, (method, path) in OPERATIONS.items():
        if RULES[operation].level in (None, Level.READ, Level.SERVER) or not any(f"{{{name}}}" in path for name in ids):
            continue
        body = BODIES.get((method, path), {"project": "other", "text": "x", "members_manage": True})
        answer = client.request(method, fill(path, ids), headers=there, json=body)
        assert answer.status_code in (404, 422), (operation, answer.text)
    assert client.get(at).json() == view | {"shared": False}
    for path in (at, f"/v1/runs/{run}"):
        assert client.get(path, headers=stranger).status_code == 404, "a third project sees nothing"

    client.delete(at)
    assert client.get(at, headers=there).status_code == 404, "nothing of a bin is seen"
    client.post(f"{at}/restore")
    assert client.get(at, headers=there).status_code == 200
    assert client.post(f"{at}/unshare", json={"project": "other"}).json()["items"] == []
    for path in (at, f"/v1/runs/{run}", f"/v1/runs/{run}/series"):
        assert client.get(path, headers=there).status_code == 404
    assert client.get("/v1/experiments?shared=true", headers=there).json()["items"] == []
    assert client.get(comparison.headers["Location"], headers=there).status_code == 404


def test_only_another_project_is_shared_with(client: TestClient, submit: Submit) -> None:
    at = f"/v1/experiments/{submit()['id']}/share"
    assert client.post(at, json={"project": "default"}).status_code == 409
    assert client.post(at, json={"project": "nowhere"}).status_code == 404
    assert client.post(at, json={}).status_code == 422


def test_the_setting_of_a_project_lets_members_manage(client: TestClient, submit: Submit, engine: Engine) -> None:
    with transaction(engine) as connection:
        bob = {"Authorization": f"Bearer {new_key(connection, 'default', 'bob')}"}
    at = f"/v1/experiments/{submit()['id']}/cancel"
    refused = client.post(at, headers=bob)
    assert refused.status_code == 403
    assert "belongs to ada" in refused.json()["detail"]
    assert client.patch("/v1/project", json={"members_manage": True}, headers=bob).status_code == 403
    assert not client.get("/v1/project", headers=bob).json()["members_manage"]
    assert client.patch("/v1/project", json={"members_manage": True}).status_code == 200
    assert client.get("/v1/project", headers=bob).json()["members_manage"]
    assert client.post(at, headers=bob).status_code == 202
