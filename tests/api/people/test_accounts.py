"""Accounts: signing in with a password, what a password must be, and what slows those who guess."""

from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine, text

from service.access.password_rules import check_password
from service.db.access import projects, sign_in_failures
from service.db.access.sign_in_failures import FREE_OF_ADDRESS, FREE_OF_NAME, MAX_DELAY_S, MAX_REFUSAL_S
from service.db.session import transaction
from service.errors import Invalid
from tests.fixtures.people import PASSWORD, Person

Browser = Callable[[], TestClient]


def sign_in(browser: TestClient, name: str, password: str = PASSWORD) -> Any:
    return browser.post("/v1/session", json={"name": name, "password": password})


def change(engine: Engine, statement: str) -> None:
    with transaction(engine) as connection:
        connection.execute(text(statement))


def audited(engine: Engine) -> list[Any]:
    with transaction(engine) as connection:
        return list(connection.execute(text("SELECT action, actor, account_id, address FROM audit ORDER BY id")))


def test_one_signs_in_by_name_or_address_and_password(person: Person, browser_of: Browser, engine: Engine) -> None:
    person("Bob Ross", email="Bob@Example.org")
    for name in ("Bob Ross", " Bob Ross ", "bob@example.ORG"):
        browser = browser_of()
        me = sign_in(browser, name).json()
        assert (me["member"], me["key_id"], me["level"]) == ("Bob Ross", "", "submit")
        assert browser.get("/v1/me").json() == me
    with transaction(engine) as connection:
        stored = connection.execute(text("SELECT password_hash FROM account WHERE name = 'Bob Ross'")).scalar_one()
    assert stored.startswith("$argon2id$")
    assert PASSWORD not in stored


@pytest.mark.parametrize(
    "state", ["kind = 'service'", "disabled_at = clock_timestamp()", "password_hash = NULL", "name = 'somebody else'"]
)
def test_who_may_not_sign_in_is_answered_as_a_wrong_password_is(
    person: Person, browser_of: Browser, engine: Engine, state: str
) -> None:
    person("bob")
    wrong = sign_in(browser_of(), "bob", "six small green apples")
    change(engine, f"UPDATE account SET {state} WHERE name = 'bob'")
    answer = sign_in(browser_of(), "bob")
    assert (answer.status_code, wrong.status_code) == (422, 422)
    assert answer.json() | {"instance": ""} == wrong.json() | {"instance": ""}
    assert "set-cookie" not in answer.headers
    assert [row.action for row in audited(engine)][-2:] == ["session.refuse"] * 2


def test_what_was_typed_for_a_name_is_kept_nowhere(browser_of: Browser, engine: Engine) -> None:
    sign_in(browser_of(), "my secret password", "x")
    assert audited(engine)[-1] == ("session.refuse", "somebody unknown", None, "testclient")
    with transaction(engine) as connection:
        assert "my secret" not in str(connection.execute(text("SELECT * FROM sign_in_failure")).all())


@pytest.mark.parametrize("given", [{}, {"name": "a"}, {"password": "a"}, {"key": "k", "name": "a", "password": "b"}])
def test_a_sign_in_has_one_way(bare: TestClient, given: dict[str, str]) -> None:
    assert bare.post("/v1/session", json=given).status_code == 422


BAD = {
    "eleven char": "too_short",
    "correcthorsebatterystaple": "common",
    "PASSWORD1234": "common",
    "aaaaaaaaaaaaaaaa": "common",
    "Bartholomew 2024!": "own_name",
}


@pytest.mark.parametrize("password", BAD)
def test_a_password_that_is_guessed_first_is_refused(password: str) -> None:
    with pytest.raises(Invalid) as refused:
        check_password(password, ["bartholomew"])
    assert [each.code for each in refused.value.problems] == [BAD[password]]


@pytest.mark.parametrize("password", ["twelve chars", "bartholomew eats pears", "密码是一句很长的中文话呀"])
def test_a_long_one_is_taken_whatever_it_is_made_of(password: str) -> None:
    check_password(password, ["bartholomew"])


def test_a_new_password_ends_the_other_sessions(person: Person, browser_of: Browser, engine: Engine) -> None:
    here, there = person("bob"), browser_of()
    sign_in(there, "bob")
    new = "six small green apples"
    wrong = here.put("/v1/account/password", json={"current": "x", "password": new})
    assert (wrong.status_code, wrong.json()["errors"][0]["pointer"]) == (422, "/current")
    short = here.put("/v1/account/password", json={"current": PASSWORD, "password": "short"})
    assert short.json()["errors"][0]["limit"] == {"min": 12}
    assert here.put("/v1/account/password", json={"current": PASSWORD, "password": new}).status_code == 200
    assert (here.get("/v1/me").status_code, there.get("/v1/me").status_code) == (200, 401)
    assert sign_in(there, "bob").status_code == 422
    assert sign_in(there, "bob", new).status_code == 200
    assert "password.change" in [row.action for row in audited(engine)]


def test_a_key_changes_no_password(client: TestClient) -> None:
    for method, path, given in (("GET", "", None), ("PATCH", "", {"email": None}), ("PUT", "/password", {})):
        assert client.request(method, f"/v1/account{path}", json=given).status_code == 403
    session = client.post("/v1/session", json={"key": client.headers.pop("Authorization").removeprefix("Bearer ")})
    assert session.status_code == 200
    assert client.get("/v1/account").status_code == 403, "nor does a session that a key began"


def test_ones_address_is_changed_and_nobody_elses_taken(person: Person, browser_of: Browser) -> None:
    bob, eve = person("bob", email="bob@example.org"), person("eve")
    assert eve.patch("/v1/account", json={"email": "BOB@example.org"}).json()["errors"][0]["code"] == "taken"
    assert eve.patch("/v1/account", json={"email": "eve@example.org"}).json()["email"] == "eve@example.org"
    assert sign_in(browser_of(), "eve@example.org").status_code == 200
    assert bob.get("/v1/account").json()["email"] == "bob@example.org"


def test_names_that_differ_in_capitals_are_one(person: Person, browser_of: Browser, invite: Callable[..., str]) -> None:
    person("Root")
    taken = {"token": invite(), "name": "rOOT", "password": PASSWORD}
    refused = browser_of().post("/v1/invitations/accept", json=taken)
    assert [each["pointer"] for each in refused.json()["errors"]] == ["/name"]
    assert sign_in(browser_of(), "root").json()["member"] == "Root"


def test_whoever_was_an_account_by_another_capital_keeps_it(engine: Engine) -> None:
    with transaction(engine) as connection:
        for name in ("grace", "Grace"):
            projects.new_key(connection, "default" if name == "grace" else "other", name)
        projects.make_server_admin(connection, "GRACE")
        found = connection.execute(text("SELECT name, admin FROM account")).all()
    assert [tuple(row) for row in found] == [("grace", True)]


def attempt(engine: Engine, name: str, address: str) -> sign_in_failures.Slowing:
    with transaction(engine) as connection:
        return sign_in_failures.begin(connection, name, address)


def test_a_name_is_slowed_from_the_fourth_failure_on_and_never_refused(engine: Engine) -> None:
    slowed = [attempt(engine, "bob", f"10.0.0.{n}") for n in range(40)]
    assert [each.delay_s for each in slowed[: FREE_OF_NAME + 6]] == [0.0] * FREE_OF_NAME + [0.25, 0.5, 1, 2, 4, 4]
    assert {each.refused_s for each in slowed} == {0.0}
    assert slowed[-1].delay_s == MAX_DELAY_S
    with transaction(engine) as connection:
        sign_in_failures.succeed(connection, "bob", "10.0.0.1")
    assert attempt(engine, "BOB", "10.0.0.99").delay_s == 0


def test_an_address_is_refused_for_longer_and_longer_up_to_a_minute(engine: Engine) -> None:
    for n in range(FREE_OF_ADDRESS):
        assert attempt(engine, f"n{n}", "10.0.0.1").refused_s == 0
    waits = []
    for n in range(12):
        waits.append(round(attempt(engine, f"m{n}", "10.0.0.1").refused_s))
        assert round(attempt(engine, f"m{n}", "10.0.0.1").refused_s) == waits[-1], "a refused one is not counted"
        change(engine, "UPDATE sign_in_failure SET last_at = clock_timestamp() - interval '61 s'")
        assert attempt(engine, f"m{n}", "10.0.0.1").refused_s == 0
    assert waits == [1, 2, 4, 8, 16, 32, *[MAX_REFUSAL_S] * 6]
    assert attempt(engine, "bob", "10.0.0.2").refused_s == 0
    change(engine, "UPDATE sign_in_failure SET last_at = clock_timestamp() - interval '15 minutes'")
    assert attempt(engine, "bob", "10.0.0.1").refused_s == 0


def test_a_refused_address_is_told_when_to_come_back(bare: TestClient, engine: Engine) -> None:
    for n in range(FREE_OF_ADDRESS + 4):
        attempt(engine, f"n{n}", "testclient")
    answer = sign_in(bare, "bob")
    assert (answer.status_code, answer.json()["code"]) == (429, "sign_in_slowed")
    assert 0 < int(answer.headers["Retry-After"]) <= MAX_REFUSAL_S
