"""Sessions of browsers: bound to whom they were begun for, listed, ended, and over in time."""

from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine, text

from service.api.app import create_app
from service.db.access import projects
from service.db.session import transaction
from service.settings import Settings
from tests.fixtures.api import SPEC

ORIGIN = {"Origin": "http://testserver"}


@pytest.fixture
def browser(bare: TestClient, key: str) -> TestClient:
    """Signed in with a key of ada's."""
    signed = bare.post("/v1/session", json={"key": key}, headers={"User-Agent": "Firefox"})
    assert signed.status_code == 200
    bare.headers.update(ORIGIN)
    return bare


@pytest.fixture
def second(browser: TestClient, key: str) -> Iterator[TestClient]:
    """Another browser that is signed in with the same key."""
    with TestClient(browser.app, headers=ORIGIN) as client:
        assert client.post("/v1/session", json={"key": key}).status_code == 200
        yield client


def change(engine: Engine, statement: str, **values: Any) -> None:
    with transaction(engine) as connection:
        connection.execute(text(statement), values)


def actions(engine: Engine) -> list[str]:
    with transaction(engine) as connection:
        return list(connection.execute(text("SELECT action FROM audit ORDER BY id")).scalars())


def test_the_cookie_is_no_key_and_is_over_after_signing_out(browser: TestClient, key: str, engine: Engine) -> None:
    cookie = browser.cookies["saddle-80"]
    assert browser.get("/v1/me", headers={"Authorization": f"Bearer {cookie}"}).status_code == 401
    assert browser.get("/v1/me").json()["key_id"] == key.partition(".")[0]
    with transaction(engine) as connection:
        stored = str(connection.execute(text("SELECT * FROM session")).one())
    assert cookie.partition(".")[2] not in stored
    assert browser.delete("/v1/session").status_code == 200
    browser.cookies["saddle-80"] = cookie
    assert browser.get("/v1/me").status_code == 401
    assert actions(engine) == ["session.start", "session.end"]


@pytest.mark.parametrize(
    ("column", "ago", "status"),
    [
        ("seen_at", "11 hours 59 minutes", 200),
        ("seen_at", "12 hours", 401),
        ("created_at", "29 days 23 hours", 200),
        ("created_at", "30 days", 401),
    ],
)
def test_a_session_is_over_in_time(browser: TestClient, engine: Engine, column: str, ago: str, status: int) -> None:
    change(engine, f"UPDATE session SET {column} = clock_timestamp() - interval '{ago}'")
    assert browser.get("/v1/me").status_code == status


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE api_key SET revoked_at = clock_timestamp()",
        "UPDATE api_key SET expires_at = clock_timestamp()",
        "UPDATE member SET removed_at = clock_timestamp()",
        "UPDATE account SET disabled_at = clock_timestamp()",
        "UPDATE session SET ended_at = clock_timestamp()",
    ],
)
def test_a_session_ends_with_what_it_rests_on(browser: TestClient, engine: Engine, statement: str) -> None:
    assert browser.get("/v1/me").status_code == 200
    change(engine, statement)
    assert browser.get("/v1/me").status_code == 401


def test_a_session_may_what_its_key_may(bare: TestClient, engine: Engine) -> None:
    with transaction(engine) as connection:
        narrow = projects.new_key(connection, "default", "ada", scope="read")
    assert bare.post("/v1/session", json={"key": narrow}).json()["level"] == "read"
    assert bare.post("/v1/experiments", json=SPEC, headers=ORIGIN).status_code == 403


def test_when_it_was_seen_is_written_at_most_once_a_minute(browser: TestClient, engine: Engine) -> None:
    def seen() -> Any:
        with transaction(engine) as connection:
            return connection.execute(text("SELECT seen_at FROM session")).scalar_one()

    began = seen()
    browser.get("/v1/me")
    assert seen() == began
    change(engine, "UPDATE session SET seen_at = clock_timestamp() - interval '61 seconds'")
    browser.get("/v1/me")
    assert seen() > began


def test_one_sees_where_one_is_signed_in_and_ends_it(browser: TestClient, second: TestClient) -> None:
    listed = browser.get("/v1/sessions").json()["items"]
    assert [(each["device"], each["current"]) for each in listed] == [("testclient", False), ("Firefox", True)]
    assert listed[0]["address"] == "testclient"
    assert browser.delete(f"/v1/sessions/{listed[0]['id']}").json() == {"ended": 1}
    assert second.get("/v1/me").status_code == 401
    assert browser.delete(f"/v1/sessions/{listed[0]['id']}").status_code == 404
    assert len(browser.get("/v1/sessions").json()["items"]) == 1


def test_all_others_end_at_once(browser: TestClient, second: TestClient, engine: Engine) -> None:
    assert browser.delete("/v1/sessions").json() == {"ended": 1}
    assert second.get("/v1/me").status_code == 401
    assert browser.get("/v1/me").status_code == 200
    assert actions(engine)[-1] == "session.end"


def test_nobody_sees_or_ends_the_sessions_of_others(
    browser: TestClient, stranger: dict[str, str], engine: Engine
) -> None:
    session_id = browser.get("/v1/me").json()["session_id"]
    with transaction(engine) as connection:
        other = projects.new_key(connection, "default", "ada")
    for headers in (stranger, {"Authorization": f"Bearer {other}"}):  # another account, another key of this one
        assert browser.get("/v1/sessions", headers=headers).json()["items"] == []
        assert browser.delete(f"/v1/sessions/{session_id}", headers=headers).status_code == 404
        assert browser.delete("/v1/sessions", headers=headers).json() == {"ended": 0}
    assert browser.get("/v1/me").status_code == 200


def test_signing_in_again_ends_the_session_before(browser: TestClient, key: str) -> None:
    cookie = browser.cookies["saddle-80"]
    browser.post("/v1/session", json={"key": key})
    assert browser.cookies["saddle-80"] != cookie
    browser.cookies.clear()
    assert browser.get("/v1/me", headers={"Cookie": f"saddle-80={cookie}"}).status_code == 401


@pytest.mark.parametrize("cookie", ["", "x", "ses_" + "0" * 26 + ".", "ses_" + "0" * 26 + "." + "A" * 43, "key"])
def test_a_cookie_that_is_none_opens_nothing(bare: TestClient, key: str, cookie: str) -> None:
    headers = {"Cookie": f"saddle-80={key if cookie == 'key' else cookie}"}
    assert bare.get("/v1/me", headers=headers).status_code == 401


def test_the_name_of_the_cookie_tells_servers_of_one_host_apart(settings: Settings, key: str) -> None:
    below = settings.model_copy(update={"root_path": "/lab/saddle"})
    names = []
    for each, base in ((settings, "http://h:8000"), (settings, "http://h:8001"), (settings, "https://h")):
        with TestClient(create_app(each), base_url=base) as client:
            names.append(client.post("/v1/session", json={"key": key}).headers["set-cookie"])
    with TestClient(create_app(below), base_url="https://h:8443") as client:
        names.append(client.post("/v1/session", json={"key": key}).headers["set-cookie"])
    assert [name.partition("=")[0] for name in names] == [
        *("saddle-8000", "saddle-8001", "__Host-saddle-443", "__Secure-saddle-8443-lab-saddle")
    ]
    assert all(part in names[2] for part in ("; Secure", "Path=/;", "SameSite=strict", "HttpOnly"))
    assert "Domain" not in names[2]
    assert "Path=/lab/saddle;" in names[3]
    assert "; Secure" not in names[0]
