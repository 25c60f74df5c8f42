"""Saved views: named addresses of the page that a project shares; reports are those of comparisons, with a text."""

from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine

from service.db.access.projects import new_key
from service.db.experiments import saved_views
from service.db.session import transaction

TABLE = {"place": "experiments", "name": "Best of May", "query": "filter=tag%20%3D%20may&sort=best(val/loss)"}
REPORT = {"place": "compare", "name": "SGD or Adam?", "query": "experiments=a,b", "text": "# Why\n\n{ranking}\n"}


def bearer(engine: Engine, project: str, name: str, **more: Any) -> dict[str, str]:
    with transaction(engine) as connection:
        return {"Authorization": f"Bearer {new_key(connection, project, name, **more)}"}


def test_a_view_is_seen_by_the_project_changed_by_its_owner_and_by_nobody_elsewhere(
    client: TestClient, engine: Engine
) -> None:
    made = client.post("/v1/views", json=TABLE).json()
    assert TABLE.items() <= made.items()
    assert (made["owner"], made["own"], made["text"], made["edited_at"]) == ("ada", True, "", None)
    report = client.post("/v1/views", json=REPORT).json()
    both = client.get("/v1/views").json()["items"]
    assert [each["id"] for each in both] == [report["id"], made["id"]]
    assert "text" not in both[0]
    assert [each["name"] for each in client.get("/v1/views?place=compare").json()["items"]] == ["SGD or Adam?"]
    changed = client.patch(f"/v1/views/{report['id']}", json={"text": "none"}).json()
    assert (changed["text"], changed["name"], changed["query"]) == ("none", REPORT["name"], REPORT["query"])
    assert changed["edited_at"] is not None

    bob = bearer(engine, "default", "bob", role="member")
    assert client.get(f"/v1/views/{made['id']}", headers=bob).json()["own"] is False
    for method, body in (("PATCH", {"name": "mine"}), ("DELETE", None)):
        assert client.request(method, f"/v1/views/{made['id']}", json=body, headers=bob).status_code == 403
    eve = bearer(engine, "elsewhere", "eve")
    assert client.get("/v1/views", headers=eve).json()["items"] == []
    for method, body in (("GET", None), ("PATCH", {"name": "mine"}), ("DELETE", None)):
        assert client.request(method, f"/v1/views/{made['id']}", json=body, headers=eve).status_code == 404
    assert client.delete(f"/v1/views/{made['id']}").status_code == 204
    assert client.get(f"/v1/views/{made['id']}").status_code == 404


def test_a_name_is_free_once_on_each_page_and_what_is_refused_is_told(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.post("/v1/views", json=TABLE)
    again = client.post("/v1/views", json=TABLE)
    assert (again.status_code, again.json()["code"]) == (409, "conflict")
    assert "Best of May" in again.json()["detail"]
    other = client.post("/v1/views", json=TABLE | {"name": "other"}).json()
    assert client.patch(f"/v1/views/{other['id']}", json={"name": TABLE["name"]}).status_code == 409
    assert client.patch(f"/v1/views/{other['id']}", json={"name": "other"}).status_code == 200
    assert client.post("/v1/views", json=TABLE | {"place": "compare"}).status_code == 201
    wrong = client.post("/v1/views", json={"place": "admin", "name": " ", "query": "a b", "text": "x" * 20_000})
    assert wrong.status_code == 422, wrong.text
    assert {each["pointer"] for each in wrong.json()["errors"]} == {"/place", "/name", "/query"}
    long = client.post("/v1/views", json=REPORT | {"text": "x" * 20_001})
    assert [(each["pointer"], each["limit"]) for each in long.json()["errors"]] == [("/text", 20_000)]
    monkeypatch.setattr(saved_views, "MAX_VIEWS", 3)
    full = client.post("/v1/views", json=TABLE | {"name": "one more"})
    assert (full.status_code, "3 views" in full.json()["detail"]) == (409, True)
