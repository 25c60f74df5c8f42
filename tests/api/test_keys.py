"""API keys: who sees which, that a secret is told once, and that a revoked one opens nothing."""

import subprocess
import sys
import time
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine

from service.db.access.projects import new_key
from service.db.session import transaction


def made(client: TestClient, **wanted: Any) -> dict[str, Any]:
    answer = client.post("/v1/keys", json={"name": "laptop"} | wanted)
    assert answer.status_code == 201, answer.text
    document: dict[str, Any] = answer.json()
    assert answer.headers["Location"] == f"/v1/keys/{document['id']}"
    assert answer.headers["Cache-Control"] == "no-store"
    return document


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def test_a_key_is_made_used_listed_and_revoked_and_its_secret_is_told_once(client: TestClient, key: str) -> None:
    second = made(client, name="  CI cafe\u0301 ")
    assert second["name"] == "CI caf\u00e9"
    me = client.get("/v1/me", headers=bearer(second["key"])).json()
    assert (me["key_id"], me["member"]) == (second["id"], "ada")
    listed = client.get("/v1/keys")
    found = listed.json()["items"]
    assert [each["id"] for each in found] == [second["id"], key.partition(".")[0]]
    assert [each["current"] for each in found] == [False, True]
    assert found[0] == client.get(f"/v1/keys/{second['id']}").json()
    assert "key" not in found[0]
    for secret in (second["key"], key):
        assert secret.partition(".")[2] not in listed.text

    at = f"/v1/keys/{second['id']}/revoke"
    revoked = client.post(at).json()
    assert revoked["revoked_at"]
    assert not revoked["open"]
    assert client.get("/v1/me", headers=bearer(second["key"])).status_code == 401
    assert client.post(at).json() == revoked, "a second time changes nothing"
    assert [each["id"] for each in client.get("/v1/keys").json()["items"]] == [key.partition(".")[0]]
    assert len(client.get("/v1/keys", params={"closed": True}).json()["items"]) == 2


def test_the_key_that_asks_is_not_revoked_by_itself(client: TestClient, key: str) -> None:
    refused = client.post(f"/v1/keys/{key.partition('.')[0]}/revoke")
    assert (refused.status_code, refused.json()["code"]) == (409, "conflict")
    assert client.get("/v1/me").status_code == 200
    other = made(client)
    assert client.post(f"/v1/keys/{key.partition('.')[0]}/revoke", headers=bearer(other["key"])).status_code == 202
    assert client.get("/v1/me").status_code == 401


def test_a_key_ends_when_its_time_is_over(client: TestClient) -> None:
    short = made(client, lifetime_s=0.5)
    assert client.get("/v1/me", headers=bearer(short["key"])).status_code == 200
    time.sleep(0.6)
    assert client.get("/v1/me", headers=bearer(short["key"])).status_code == 401
    assert len(client.get("/v1/keys").json()["items"]) == 1
    assert not client.get(f"/v1/keys/{short['id']}").json()["open"]


@pytest.mark.parametrize(
    "wanted", [{}, {"name": "  "}, {"name": "a\u200bb"}, {"name": "a", "lifetime_s": 0}, {"name": "a", "member": "bob"}]
)
def test_a_key_needs_a_name_that_can_be_seen(client: TestClient, wanted: dict[str, Any]) -> None:
    assert client.post("/v1/keys", json=wanted).status_code == 422


def test_keys_of_another_project_are_not_there(client: TestClient, key: str, stranger: dict[str, str]) -> None:
    mine = key.partition(".")[0]
    theirs = client.get("/v1/keys", headers=stranger).json()["items"]
    assert [each["member"] for each in theirs] == ["eve"]
    for method, at in (("GET", f"/v1/keys/{mine}"), ("POST", f"/v1/keys/{mine}/revoke")):
        assert client.request(method, at, headers=stranger).status_code == 404
    assert client.get("/v1/me").status_code == 200


def test_the_operator_lists_and_ends_keys_without_one(engine: Engine, database_url: str, client: TestClient) -> None:
    with transaction(engine) as connection:
        lost = new_key(connection, "lost", "bob", 86400.0)
    environment = {"SADDLE_DATABASE_URL": database_url, "PATH": ""}

    def operate(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "service.db", *words]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    line = next(line for line in operate("keys").stdout.splitlines() if lost.partition(".")[0] in line)
    assert "lost/bob" in line
    assert "expires 20" in line
    assert lost.partition(".")[2] not in line
    assert operate("revoke", f" {lost}\n").returncode == 0
    assert client.get("/v1/me", headers=bearer(lost)).status_code == 401
    assert operate("revoke", lost).returncode == 1


def test_blanks_around_a_key_are_no_part_of_it(client: TestClient, key: str) -> None:
    assert client.get("/v1/me", headers={"Authorization": f"Bearer   {key}  "}).status_code == 200
    assert client.post("/v1/session", json={"key": f" {key}\n"}).status_code == 200
    assert client.cookies["saddle_key"] == key
