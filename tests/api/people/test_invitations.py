"""Invitations, members and projects: coming in by a link, roles, removal, several projects of one account."""

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine, text

from service.api.app import create_app
from service.db.access import invitations
from service.db.session import transaction
from service.settings import Settings
from tests.fixtures.api import SPEC
from tests.fixtures.people import ORIGIN, PASSWORD, Person

Browser = Callable[[], TestClient]
Invite = Callable[..., str]


def change(engine: Engine, statement: str) -> None:
    with transaction(engine) as connection:
        connection.execute(text(statement))


def members(client: TestClient) -> dict[str, dict[str, Any]]:
    return {each["name"]: each for each in client.get("/v1/members").json()["items"]}


def accept(browser: TestClient, token: str, name: str = "bob", password: str = PASSWORD) -> Any:
    return browser.post("/v1/invitations/accept", json={"token": token, "name": name, "password": password})


def test_a_link_lets_one_person_in_once(client: TestClient, invite: Invite, browser_of: Browser) -> None:
    token = invite(role="viewer", email="bob@example.org")
    browser = browser_of()
    seen = browser.post("/v1/invitations/open", json={"token": token}).json()
    assert (seen["project"], seen["role"], seen["email"], seen["made_by"]) == (
        *("default", "viewer", "bob@example.org", "ada"),
    )
    me = accept(browser, token).json()
    assert (me["member"], me["project"], me["role"], me["level"]) == ("bob", "default", "viewer", "read")
    assert browser.get("/v1/me").json() == me
    for opened in (
        accept(browser_of(), token, "eve"),
        browser.post("/v1/invitations/open", json={"token": token}),
        browser.post("/v1/projects/join", json={"token": token}),
    ):
        assert (opened.status_code, opened.json()["code"]) == (404, "not_found")
    assert set(members(client)) == {"ada", "bob"}
    assert client.get("/v1/invitations").json()["items"] == []


@pytest.mark.parametrize("how", ["revoked", "expired", "wrong secret", "other id", "nothing"])
def test_a_link_that_does_not_work_says_the_same_whatever_it_is(
    client: TestClient, invite: Invite, browser_of: Browser, engine: Engine, how: str
) -> None:
    token = invite()
    (listed,) = client.get("/v1/invitations").json()["items"]
    assert token.partition(".")[2] not in str(listed)
    if how == "revoked":
        assert client.post(f"/v1/invitations/{listed['id']}/revoke").status_code == 202
        assert client.post(f"/v1/invitations/{listed['id']}/revoke").status_code == 404
    elif how == "expired":
        change(engine, "UPDATE invitation SET expires_at = clock_timestamp()")
    else:
        secret = token.partition(".")[2]
        token = {"wrong secret": f"{listed['id']}.x", "other id": f"inv_{'0' * 26}.{secret}", "nothing": "x"}[how]
    answer = accept(browser_of(), token)
    assert (answer.status_code, answer.json()["detail"]) == (404, invitations.GONE)


def test_a_name_or_password_that_is_refused_leaves_the_link_as_it_was(invite: Invite, browser_of: Browser) -> None:
    token, browser = invite(), browser_of()
    for given, pointer in (
        ({"name": "bob", "password": "short"}, "/password"),
        ({"name": "bob@home", "password": PASSWORD}, "/name"),
        ({"password": PASSWORD}, "/name"),
        ({"name": "ada", "password": PASSWORD}, "/name"),
        ({"name": "bob", "password": PASSWORD, "email": "x"}, "/email"),
    ):
        refused = browser.post("/v1/invitations/accept", json={"token": token, **given})
        assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, pointer), given
    assert accept(browser, token).status_code == 200


@pytest.mark.parametrize(("lifetime_s", "status"), [(0, 422), (1, 201), (90 * 86400, 201), (90 * 86400 + 1, 422)])
def test_an_invitation_lasts_up_to_90_days(client: TestClient, lifetime_s: float, status: int) -> None:
    assert client.post("/v1/invitations", json={"lifetime_s": lifetime_s}).status_code == status


def test_an_account_joins_another_project_and_goes_to_and_fro(
    client: TestClient, person: Person, stranger: dict[str, str], browser_of: Browser
) -> None:
    bob = person("bob")
    token = client.post("/v1/invitations", json={"role": "admin"}, headers=stranger).json()["token"]
    joined = bob.post("/v1/projects/join", json={"token": token}).json()
    assert (joined["project"], joined["role"]) == ("elsewhere", "admin")
    projects = {each["name"]: each for each in bob.get("/v1/projects").json()["items"]}
    assert {name: (each["role"], each["current"]) for name, each in projects.items()} == {
        "default": ("member", False),
        "elsewhere": ("admin", True),
    }
    assert bob.post("/v1/experiments", json=SPEC).status_code == 201
    back = bob.patch("/v1/session", json={"project_id": projects["default"]["id"]}).json()
    assert (back["project"], back["level"]) == ("default", "submit")
    assert bob.get("/v1/me").json() == back
    assert bob.get("/v1/experiments").json()["items"] == []
    again = browser_of().post("/v1/session", json={"name": "bob", "password": PASSWORD}).json()
    assert again["project"] in projects
    other = bob.patch("/v1/session", json={"project_id": "prj_" + "0" * 26})
    assert other.status_code == 404


def test_nobody_joins_twice_and_the_link_stays(person: Person, invite: Invite, browser_of: Browser) -> None:
    bob, token = person("bob"), invite()
    assert bob.post("/v1/projects/join", json={"token": token}).status_code == 409
    assert accept(browser_of(), token, "eve").status_code == 200


def test_a_removed_members_doors_close_and_their_work_stays(
    client: TestClient, person: Person, invite: Invite, engine: Engine
) -> None:
    bob = person("bob")
    key = {"Authorization": f"Bearer {bob.post('/v1/keys', json={'name': 'x'}).json()['key']}"}
    made = bob.post("/v1/experiments", json=SPEC).json()
    assert client.get("/v1/me", headers=key).status_code == 200
    removed = members(client)["bob"]
    assert client.delete(f"/v1/members/{removed['id']}").status_code == 200
    assert (bob.get("/v1/me").status_code, client.get("/v1/me", headers=key).status_code) == (401, 401)
    assert client.get(f"/v1/experiments/{made['id']}").json()["owner"] == "bob"
    assert client.delete(f"/v1/members/{removed['id']}").status_code == 404
    me = bob.post("/v1/session", json={"name": "bob", "password": PASSWORD}).json()
    assert (me["project_id"], me["level"]) == ("", "read")
    assert bob.get("/v1/experiments").status_code == 403
    assert bob.get("/v1/projects").json()["items"] == []
    back = bob.post("/v1/projects/join", json={"token": invite(role="viewer")}).json()
    assert back["role"] == "viewer"
    assert members(client)["bob"]["id"] == removed["id"], "the same member as before"
    assert client.get("/v1/me", headers=key).status_code == 401, "the old keys stay closed"
    with transaction(engine) as connection:
        actions = list(connection.execute(text("SELECT action FROM audit")).scalars())
    assert {"member.invite", "member.join", "account.create", "member.remove"} <= set(actions)


@pytest.mark.parametrize("how", ["removed", "member"])
def test_who_is_admin_no_more_left_no_link_to_come_in_again(
    client: TestClient, person: Person, invite: Invite, browser_of: Browser, how: str
) -> None:
    bob, mine = person("bob", role="admin"), invite(role="member")
    link = bob.post("/v1/invitations", json={"role": "admin"}).json()["token"]
    member_id = members(client)["bob"]["id"]
    if how == "removed":
        assert client.delete(f"/v1/members/{member_id}").status_code == 200
    else:
        assert client.patch(f"/v1/members/{member_id}", json={"role": how}).status_code == 200
    assert accept(browser_of(), link, "eve").status_code == 404
    assert accept(browser_of(), mine, "eve").status_code == 200, "the links of others work"


def test_a_role_holds_from_the_next_request_on(client: TestClient, person: Person) -> None:
    bob = person("bob")
    member_id = members(client)["bob"]["id"]
    for role, status in (("viewer", 403), ("member", 201), ("admin", 201)):
        assert client.patch(f"/v1/members/{member_id}", json={"role": role}).json()["role"] == role
        assert bob.post("/v1/experiments", json=SPEC).status_code == status
    assert client.patch(f"/v1/members/{member_id}", json={"role": "owner"}).status_code == 422


def test_a_project_keeps_an_admin(client: TestClient, person: Person, engine: Engine) -> None:
    ada = members(client)["ada"]["id"]
    robot = client.post("/v1/members", json={"name": "robot", "role": "admin"}).json()
    assert robot["kind"] == "service"
    for change_it in (
        lambda: client.delete(f"/v1/members/{ada}"),
        lambda: client.patch(f"/v1/members/{ada}", json={"role": "member"}),
    ):
        assert change_it().status_code == 409
    assert client.patch(f"/v1/members/{ada}", json={"role": "admin"}).status_code == 200
    bob = person("bob", role="admin")
    assert bob.patch(f"/v1/members/{ada}", json={"role": "viewer"}).status_code == 200
    assert bob.delete(f"/v1/members/{members(bob)['bob']['id']}").status_code == 409


def test_members_of_other_projects_are_not_there(client: TestClient, stranger: dict[str, str]) -> None:
    ada = members(client)["ada"]["id"]
    (invitation,) = [client.post("/v1/invitations", json={}).json()["id"]]
    for method, path, given in (
        ("PATCH", f"/v1/members/{ada}", {"role": "viewer"}),
        ("DELETE", f"/v1/members/{ada}", None),
        ("POST", f"/v1/invitations/{invitation}/revoke", None),
    ):
        assert client.request(method, path, json=given, headers=stranger).status_code == 404, path
    assert "ada" not in {each["name"] for each in client.get("/v1/members", headers=stranger).json()["items"]}


def test_a_service_account_has_no_password_and_its_keys_work(client: TestClient, browser_of: Browser) -> None:
    assert client.post("/v1/members", json={"name": "nightly"}).status_code == 201
    key = client.post("/v1/keys", json={"name": "ci", "member": "nightly"}).json()["key"]
    assert client.get("/v1/me", headers={"Authorization": f"Bearer {key}"}).json()["member"] == "nightly"
    assert client.post("/v1/members", json={"name": "nightly"}).json()["errors"][0]["code"] == "taken"
    refused = browser_of().post("/v1/session", json={"name": "nightly", "password": ""})
    assert refused.status_code == 422


def test_projects_are_made_by_server_admins_or_by_all_where_it_is_set(
    settings: Settings, person: Person, engine: Engine
) -> None:
    bob = person("bob", role="viewer")
    assert bob.post("/v1/projects", json={"name": "vision"}).status_code == 403
    change(engine, "UPDATE account SET admin = true WHERE name = 'bob'")
    assert bob.post("/v1/projects", json={"name": "vision"}).json()["role"] == "admin"
    assert bob.post("/v1/projects", json={"name": "vision"}).status_code == 409
    change(engine, "UPDATE account SET admin = false")
    opened = settings.model_copy(update={"open_projects": True})
    with TestClient(create_app(opened), headers=ORIGIN) as browser:
        assert browser.post("/v1/session", json={"name": "bob", "password": PASSWORD}).status_code == 200
        assert browser.post("/v1/projects", json={"name": "speech"}).status_code == 201


def test_a_server_admin_makes_links_to_new_passwords(
    client: TestClient, person: Person, browser_of: Browser, engine: Engine
) -> None:
    bob = person("bob")
    assert client.get("/v1/admin/accounts").status_code == 403
    change(engine, "UPDATE account SET admin = true WHERE name = 'ada'")
    found = {each["name"]: each for each in client.get("/v1/admin/accounts").json()["items"]}
    token = client.post(f"/v1/admin/accounts/{found['bob']['id']}/password_link").json()["token"]
    browser, new = browser_of(), "six small green apples"
    assert browser.post("/v1/invitations/open", json={"token": token}).json()["account"] == "bob"
    assert bob.post("/v1/projects/join", json={"token": token}).status_code == 409
    done = browser.post("/v1/invitations/accept", json={"token": token, "password": new})
    assert done.json()["member"] == "bob"
    assert bob.get("/v1/me").status_code == 401
    assert accept(browser_of(), token).status_code == 404
    assert browser_of().post("/v1/session", json={"name": "bob", "password": new}).status_code == 200


@pytest.mark.parametrize("how", ["by another link", "in the account"])
def test_a_new_password_ends_the_links_to_another_one(
    client: TestClient, person: Person, browser_of: Browser, engine: Engine, how: str
) -> None:
    bob, new = person("bob"), "six small green apples"
    change(engine, "UPDATE account SET admin = true WHERE name = 'ada'")
    account_id = bob.get("/v1/me").json()["account_id"]
    first, second = (client.post(f"/v1/admin/accounts/{account_id}/password_link").json()["token"] for _ in range(2))
    if how == "by another link":
        assert accept(browser_of(), first, password=new).status_code == 200
    else:
        answer = bob.put("/v1/account/password", json={"current": PASSWORD, "password": new})
        assert answer.status_code == 200, answer.text
    assert accept(browser_of(), second, password="seven small green apples").status_code == 404
    assert browser_of().post("/v1/session", json={"name": "bob", "password": new}).status_code == 200


def test_the_operator_makes_the_first_server_admin(
    database_url: str, client: TestClient, browser_of: Browser, engine: Engine
) -> None:
    command = [sys.executable, "-m", "service.db", "admin", "root", "--url", "https://saddle.example/"]
    environment = {"SADDLE_DATABASE_URL": database_url, "PATH": ""}
    link = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.strip()
    address, _, token = link.rpartition("/")
    assert address == "https://saddle.example/#/invitation"
    browser = browser_of()
    me = browser.post("/v1/invitations/accept", json={"token": token, "password": PASSWORD}).json()
    assert (me["member"], me["level"], me["project_id"]) == ("root", "server", "")
    assert browser.post("/v1/experiments", json=SPEC).status_code == 403, "there is no project it could be in"
    project_id = browser.post("/v1/projects", json={"name": "first"}).json()["id"]
    assert browser.patch("/v1/session", json={"project_id": project_id}).json()["project"] == "first"
    assert browser.post("/v1/experiments", json=SPEC).status_code == 201
