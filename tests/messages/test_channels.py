"""Channels over HTTP: made, seen by whom they concern, changed, tested, deleted."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine

from service.api.app import create_app
from service.db.access.projects import new_key
from service.db.session import transaction
from service.settings import Settings
from tests.fixtures.api import SPEC
from tests.messages.conftest import sql
from tests.messages.receiver import Receiver

Told = Callable[[str], Any]
HOOK = {"kind": "webhook", "address": "https://hooks.example.org/x", "name": "ops"}


@pytest.fixture
def client(open_settings: Settings, key: str) -> Iterator[TestClient]:
    """An admin of the project."""
    settings = open_settings.model_copy(update={"reap_s": 3600.0})
    with TestClient(create_app(settings), headers={"Authorization": f"Bearer {key}"}) as made:
        yield made


@pytest.fixture
def member(engine: Engine, key: str) -> dict[str, str]:
    """The header of a member who is no admin."""
    with transaction(engine) as connection:
        return {"Authorization": f"Bearer {new_key(connection, 'default', 'bob')}"}


def test_channels_stop_with_whoever_chose_where_they_lead(client: TestClient, engine: Engine) -> None:
    with transaction(engine) as connection:
        admin = {"Authorization": f"Bearer {new_key(connection, 'default', 'carl', role='admin')}"}
    made = client.post("/v1/channels", json=HOOK | {"shared": True}, headers=admin).json()
    (carl,) = (each["id"] for each in client.get("/v1/members").json()["items"] if each["name"] == "carl")
    assert client.delete(f"/v1/members/{carl}").status_code == 200
    stopped = client.get(f"/v1/channels/{made['id']}").json()
    assert stopped["disabled_why"] == "carl, who made it, was removed"
    started = client.patch(f"/v1/channels/{made['id']}", json={"enabled": True}).json()
    assert started["disabled_at"] is None


@pytest.fixture
def submit_path(client: TestClient) -> str:
    """The path of an experiment."""
    return f"/v1/experiments/{client.post('/v1/experiments', json=SPEC).json()['id']}"


def made(client: TestClient, headers: dict[str, str] | None = None, **changes: Any) -> dict[str, Any]:
    answer = client.post("/v1/channels", json=HOOK | changes, headers=headers)
    assert answer.status_code == 201, answer.text
    document: dict[str, Any] = answer.json()
    return document


def problems(answer: Any) -> list[tuple[str, str]]:
    assert answer.status_code == 422, answer.text
    return [(each["pointer"], each["code"]) for each in answer.json()["errors"]]


def test_a_channel_shows_its_secret_once(client: TestClient) -> None:
    new = made(client)
    assert new["secret"].startswith("whsec_")
    assert new["events"] == ["run_failed", "run_diverged", "queue_stuck", "quota_near", "mention"]
    at = f"/v1/channels/{new['id']}"
    assert "secret" not in client.get(at).json()
    assert [each["id"] for each in client.get("/v1/channels").json()["items"]] == [new["id"]]
    rotated = client.post(f"{at}/rotate").json()
    assert rotated["secret"] not in (None, new["secret"])
    changed = client.patch(at, json={"events": ["mention", "mention"], "bundle_s": 0, "name": "other"}).json()
    assert (changed["events"], changed["bundle_s"], changed["name"]) == (["mention"], 0, "other")
    assert client.patch(at, json={"enabled": False}).json()["disabled_why"] == "ada stopped it"
    assert client.patch(at, json={"enabled": True}).json()["disabled_at"] is None
    assert client.delete(at).status_code == 204
    assert client.get(at).status_code == 404
    assert client.get("/v1/channels").json()["items"] == []


def test_who_sees_which_channel(client: TestClient, member: dict[str, str], stranger: dict[str, str]) -> None:
    mine, shared, theirs = made(client), made(client, shared=True), made(client, member)
    listed = {
        who: {each["id"] for each in client.get("/v1/channels", headers=headers).json()["items"]}
        for who, headers in {"admin": None, "member": member, "stranger": stranger}.items()
    }
    assert listed == {"admin": {mine["id"], shared["id"]}, "member": {theirs["id"]}, "stranger": set()}
    for channel, headers, status in ((theirs, None, 404), (shared, member, 404), (mine, stranger, 404)):
        for path in ("", "/deliveries"):
            assert client.get(f"/v1/channels/{channel['id']}{path}", headers=headers).status_code == status
    for method, path in (("POST", "/test"), ("POST", "/rotate"), ("DELETE", ""), ("PATCH", "")):
        body = {} if method == "PATCH" else None
        for channel, headers in ((theirs, None), (shared, member), (mine, stranger)):
            answer = client.request(method, f"/v1/channels/{channel['id']}{path}", json=body, headers=headers)
            assert answer.status_code in (403, 404), (method, path)
    assert client.post("/v1/channels", json=HOOK | {"shared": True}, headers=member).status_code == 403


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"address": "ftp://host/"}, [("/address", "bad_address")]),
        ({"address": "https://10.0.0.1/"}, [("/address", "bad_address")]),
        ({"address": "https://u:p@host/"}, [("/address", "bad_address")]),
        ({"kind": "slack", "address": ""}, [("/address", "bad_address")]),
        ({"shared": True, "own_only": True}, [("/own_only", "not_shared")]),
        ({"kind": "email"}, [("/kind", "no_mail"), ("/address", "no_address")]),
        ({"events": ["party"]}, None),
        ({"bundle_s": -1}, None),
        ({"bundle_s": 86401}, None),
        ({"adress": "x"}, None),
    ],
)
def test_a_channel_that_cannot_be_is_refused_with_the_reason(
    client: TestClient, changes: dict[str, Any], found: list[tuple[str, str]] | None
) -> None:
    answer = client.post("/v1/channels", json=HOOK | changes)
    assert problems(answer) == (found or problems(answer))


def test_ones_own_mail_goes_to_ones_own_address(open_settings: Settings, engine: Engine, key: str) -> None:
    settings = Settings(**(open_settings.model_dump() | {"smtp_host": "mail", "reap_s": 3600.0}))
    mail = {"kind": "email", "name": "mail"}
    with TestClient(create_app(settings), headers={"Authorization": f"Bearer {key}"}) as client:
        assert problems(client.post("/v1/channels", json=mail)) == [("/address", "no_address")]
        sql(engine, "UPDATE account SET email = 'ada@example.org'")
        assert client.post("/v1/channels", json=mail).json()["address"] == "ada@example.org"
        other = mail | {"address": "team@example.org"}
        assert problems(client.post("/v1/channels", json=other)) == [("/address", "not_yours")]
        assert client.post("/v1/channels", json=other | {"shared": True}).json()["address"] == "team@example.org"
        wrong = mail | {"shared": True, "address": "a@b\nBcc: c@d"}
        assert problems(client.post("/v1/channels", json=wrong)) == [("/address", "bad_address")]


def test_a_member_has_twenty_channels_at_most(client: TestClient) -> None:
    for _ in range(20):
        last = made(client)
    refused = client.post("/v1/channels", json=HOOK)
    assert (refused.status_code, "20 channels" in refused.json()["detail"]) == (409, True)
    made(client, shared=True)
    client.delete(f"/v1/channels/{last['id']}")
    made(client)


def test_the_address_of_a_slack_channel_is_not_shown(client: TestClient) -> None:
    new = made(client, kind="slack", address="https://hooks.example.org/services/T0/B0/secret")
    assert (new["address"], new["secret"]) == ("https://hooks.example.org/…", None)
    assert client.post(f"/v1/channels/{new['id']}/rotate").status_code == 409


def test_a_test_answers_with_what_the_receiver_said(client: TestClient, receiver: Receiver, told: Told) -> None:
    new = made(client, address=f"{receiver.url}/ok")
    at = f"/v1/channels/{new['id']}"
    tried = client.post(f"{at}/test").json()
    assert (tried["delivered"], tried["status"], tried["detail"]) == (True, 200, "thanks  a lot")
    (sent,) = told("/ok")
    assert json.loads(sent["body"])["data"]["events"][0]["kind"] == "test"
    client.patch(at, json={"address": f"{receiver.url}/fail"})
    tried = client.post(f"{at}/test").json()
    assert (tried["delivered"], tried["status"], tried["detail"]) == (False, 500, "no")
    listed = client.get(f"{at}/deliveries").json()["items"]
    assert [(each["state"], each["status"], each["attempts"]) for each in listed] == [
        ("failed", 500, 1),
        ("sent", 200, 1),
    ]
    assert client.get(at).json()["failures"] == 0, "a test changes nothing about the channel"
    for _ in range(4):
        assert client.post(f"{at}/test").status_code == 200
    refused = client.post(f"{at}/test")
    assert (refused.status_code, refused.headers["Retry-After"]) == (429, "2")


def test_a_private_address_is_refused_when_the_operator_named_no_network(
    settings: Settings, key: str, engine: Engine
) -> None:
    with TestClient(create_app(settings), headers={"Authorization": f"Bearer {key}"}) as client:
        new = made(client)
        sql(engine, "UPDATE channel SET address = 'http://127.0.0.1:1/'")
        tried = client.post(f"/v1/channels/{new['id']}/test").json()
        assert not tried["delivered"]
        assert "SADDLE_WEBHOOK_NETWORKS" in tried["detail"]


def test_who_is_named_in_a_comment_is_told_once(
    client: TestClient, engine: Engine, member: dict[str, str], submit_path: str
) -> None:
    mine, theirs = made(client), made(client, member)
    posted = client.post(f"{submit_path}/comments", json={"text": "@bob and @ada, look at the loss"}).json()
    client.patch(f"/v1/comments/{posted['id']}", json={"text": "@bob, look at the loss again"})
    (row,) = sql(engine, "SELECT channel_id, events FROM delivery")
    assert row["channel_id"] == theirs["id"] != mine["id"], "nobody is told what they wrote themselves"
    (event,) = row["events"]
    assert (event["kind"], event["by"], event["text"]) == ("mention", "ada", "@bob and @ada, look at the loss")
