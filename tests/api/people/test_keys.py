"""API keys: who sees which, that a secret is told once, and that a revoked one opens nothing."""

import logging
import subprocess
import sys
import threading
import time
from datetime import datetime
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine, text

from service.db.access.projects import new_key
from service.db.session import transaction
from service.process import wrong_keys
from service.process.upkeep import Upkeep
from service.process.wrong_keys import MAX_WRONG


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
    "wanted", [{}, {"name": "  "}, {"name": "a\u200bb"}, {"name": "a", "lifetime_s": 0}, {"name": "a", "owner": "bob"}]
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


def days(stored: dict[str, Any]) -> float:
    ends, made_at = (datetime.fromisoformat(stored[name]) for name in ("expires_at", "created_at"))
    return (ends - made_at).total_seconds() / 86400


def test_a_key_ends_after_90_days_unless_its_maker_says_otherwise(client: TestClient) -> None:
    assert days(made(client)) == pytest.approx(90, abs=0.01)
    assert days(made(client, lifetime_s=86400)) == pytest.approx(1, abs=0.01)
    assert made(client, lifetime_s=None)["expires_at"] is None


def test_the_end_of_a_key_is_announced_two_weeks_ahead(client: TestClient) -> None:
    for lifetime_s, soon in ((13.9 * 86400, True), (14.1 * 86400, False), (None, False)):
        key = made(client, lifetime_s=lifetime_s)
        me = client.get("/v1/me", headers=bearer(key["key"]))
        assert (me.json()["key_expires_soon"], "Saddle-Key-Expires" in me.headers) == (soon, soon)
        assert client.get(f"/v1/keys/{key['id']}").json()["expires_soon"] == soon
    assert me.json()["key_expires_at"] is None


def test_a_rotated_key_opens_until_its_overlap_is_over(client: TestClient) -> None:
    old = made(client, scope="submit", lifetime_s=3 * 86400)
    rotated = client.post(f"/v1/keys/{old['id']}/rotate", json={"overlap_s": 0.5}, headers=bearer(old["key"]))
    new = rotated.json()
    assert rotated.status_code == 201, rotated.text
    assert (new["name"], new["scope"], days(new)) == ("laptop", "submit", pytest.approx(3, abs=0.01))
    for each in (old, new):
        assert client.get("/v1/me", headers=bearer(each["key"])).status_code == 200
    time.sleep(0.6)
    assert client.get("/v1/me", headers=bearer(old["key"])).status_code == 401
    assert client.get("/v1/me", headers=bearer(new["key"])).status_code == 200
    assert client.post(f"/v1/keys/{old['id']}/rotate").status_code == 409
    longer = client.post(f"/v1/keys/{new['id']}/rotate").json()
    assert days(longer) == pytest.approx(3, abs=0.01), "an overlap prolongs nothing"
    assert days(client.get(f"/v1/keys/{new['id']}").json()) < 1.01


def member_of(engine: Engine, name: str, **more: str) -> dict[str, str]:
    with transaction(engine) as connection:
        return bearer(new_key(connection, "default", name, **more))


def test_members_see_and_end_their_own_keys_and_admins_all(client: TestClient, engine: Engine) -> None:
    bob, vera = member_of(engine, "bob"), member_of(engine, "vera", role="viewer")
    theirs = made(client)
    for one in (bob, vera):
        mine = client.post("/v1/keys", json={"name": "mine"}, headers=one).json()
        assert {each["member"] for each in client.get("/v1/keys", headers=one).json()["items"]} == {mine["member"]}
        assert client.get(f"/v1/keys/{theirs['id']}", headers=one).status_code == 404
        assert client.post(f"/v1/keys/{theirs['id']}/revoke", headers=one).status_code == 403
        assert client.post(f"/v1/keys/{theirs['id']}/rotate", headers=one).status_code == 404
        assert client.post(f"/v1/keys/{mine['id']}/revoke", headers=one).status_code == 202
    assert {each["member"] for each in client.get("/v1/keys").json()["items"]} == {"ada", "bob", "vera"}


def test_an_admin_makes_and_rotates_keys_of_service_accounts_alone(client: TestClient, engine: Engine) -> None:
    member_of(engine, "bob")
    robot = member_of(engine, "robot")
    with transaction(engine) as connection:
        connection.execute(text("UPDATE account SET kind = 'service' WHERE name = 'robot'"))
    key = client.post("/v1/keys", json={"name": "ci", "member": "robot", "scope": "submit"}).json()
    assert client.get("/v1/me", headers=bearer(key["key"])).json()["member"] == "robot"
    assert client.post(f"/v1/keys/{key['id']}/rotate").json()["member"] == "robot"
    assert client.post("/v1/keys", json={"name": "ci", "member": "bob"}).status_code == 403
    assert client.post("/v1/keys", json={"name": "ci", "member": "nobody"}).status_code == 404
    bobs = client.get("/v1/keys").json()["items"]
    assert client.post(f"/v1/keys/{next(k['id'] for k in bobs if k['member'] == 'bob')}/rotate").status_code == 403
    assert client.post("/v1/keys", json={"name": "ci", "member": "ada"}, headers=robot).status_code == 403
    with transaction(engine) as connection:
        connection.execute(text("UPDATE account SET admin = true WHERE name = 'robot'"))
    refused = client.post("/v1/keys", json={"name": "ci", "member": "robot"})
    assert refused.status_code == 403, "it would make an admin of a project one of the server"


def test_a_narrow_key_neither_ends_nor_copies_a_wide_one(client: TestClient) -> None:
    wide, narrow = made(client), made(client, scope="read")
    for act in ("revoke", "rotate"):
        assert client.post(f"/v1/keys/{wide['id']}/{act}", headers=bearer(narrow["key"])).status_code == 403


def test_when_a_key_was_used_is_written_once_a_minute(client: TestClient, engine: Engine) -> None:
    runtime = client.app_state["runtime"]
    upkeep = Upkeep(runtime.engine, runtime.settings, runtime.key_use, runtime.refusals, threading.Event())
    assert client.get("/v1/keys").json()["items"][0]["last_used_at"] is None
    upkeep.look()
    used = client.get("/v1/keys").json()["items"][0]["last_used_at"]
    assert used is not None
    upkeep.look()
    assert client.get("/v1/keys").json()["items"][0]["last_used_at"] == used


def test_wrong_keys_are_counted_slowed_and_logged_and_a_good_one_still_opens(
    client: TestClient, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wrong_keys, "LOOK_S", 60.0)  # that no turn comes in the middle
    wrong = bearer(f"key_{'0' * 26}.{'A' * 43}")
    assert client.get("/v1/me").status_code == 200
    with caplog.at_level(logging.WARNING):
        answers = [client.get("/v1/me", headers=wrong) for _ in range(MAX_WRONG + 5)]
        signing_in = client.post("/v1/session", json={"key": "key_x.y"})
    assert [each.status_code for each in answers] == [401] * MAX_WRONG + [429] * 5
    assert (answers[-1].json()["code"], signing_in.status_code) == ("wrong_keys", 429)
    assert 0 < int(answers[-1].headers["Retry-After"]) <= 60
    assert len([each for each in caplog.records if "wrong keys" in each.message]) == 1
    assert client.get("/v1/me").status_code == 200


def test_who_made_and_ended_a_key_is_in_the_audit(client: TestClient, engine: Engine) -> None:
    key = made(client, scope="read")
    new = client.post(f"/v1/keys/{key['id']}/rotate").json()
    for _ in range(2):
        client.post(f"/v1/keys/{key['id']}/revoke")
    with transaction(engine) as connection:
        rows = connection.execute(text("SELECT actor, action, target FROM audit ORDER BY id")).all()
    assert [tuple(row) for row in rows] == [
        ("ada", "key.create", key["id"]),
        ("ada", "key.create", new["id"]),
        ("ada", "key.rotate", key["id"]),
        ("ada", "key.revoke", key["id"]),
    ]
