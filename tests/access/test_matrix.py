"""Every operation for every role, scope and owner: who is refused, and that nobody else is."""

import re
from dataclasses import dataclass
from typing import Any

import pytest
from fastapi import APIRouter
from fastapi.testclient import TestClient
from sqlalchemy import Engine, text

from service.access.rules import RULES
from service.api.app import create_app
from service.db.access.projects import new_key
from service.db.session import transaction
from service.ids import new_id
from service.settings import Settings
from tests.fixtures.api import SPEC

PATHS = create_app(Settings(database_url="postgresql+psycopg://")).openapi()["paths"]
OPERATIONS = {
    operation["operationId"]: (method.upper(), path)
    for path, methods in PATHS.items()
    for method, operation in methods.items()
}
ORDER = ("read", "submit", "admin", "server")
ROLE = {"viewer": "read", "member": "submit", "admin": "admin", "operator": "server"}
ANYBODY = {"get_page", "get_page_part", "get_openapi", "get_livez", "get_readyz", "sign_in"}
# these change nothing of the project's
ASKING = {"post_comparison", "preview_schedule", "post_key", "rotate_key", "post_channel"}
ANYBODY |= {"get_sign_in_ways", "open_invitation", "accept_invitation"}
ANYBODY |= {"start_provider", "return_from_provider", "finish_provider"}
PERSONS = {"enter_project", "get_account", "patch_account", "put_password", "join_project"}  # and never keys
ASKING |= {"sign_out", "end_session", "end_other_sessions"}  # nor do these, which concern oneself
ADMINS = {"set_person_quota", "list_invitations", "post_invitation", "revoke_invitation"}
ADMINS |= {"change_project", "change_member", "remove_member", "post_service_member"}
OPERATORS = {"set_server_quota", "list_accounts", "post_password_link", "post_project"}
ADMINS |= {"list_audit", "export_audit"}
OPERATORS |= {"list_server_audit", "export_server_audit"}
OPERATORS |= {"list_project_use", "get_whole_queue", "get_server_storage", "list_busy_workers"}
OPERATORS |= {"drain_worker", "undrain_worker", "stop_run", "stop_experiment", "disable_account", "enable_account"}
CHANGING = {  # what even viewers may do for themselves, and no key of the scope read
    *("post_key", "rotate_key", "revoke_key", "post_channel"),
    *("patch_channel", "delete_channel", "rotate_channel", "test_channel"),
}
OTHERS = {  # what may happen to one's own objects, and by admins to everybody's
    "experiment": {
        *("patch_experiment", "delete_experiment", "cancel_experiment", "pause_experiment", "resume_experiment"),
        *("archive_experiment", "unarchive_experiment", "restore_experiment", "move_experiment"),
        *("share_experiment", "unshare_experiment"),
    },
    "study": {
        *("pause_study", "resume_study", "stop_study", "extend_study", "post_trial", "delete_study", "restore_study"),
    },
    "run": {"change_run", "cancel_run", "pause_run", "resume_run"},
    "dataset": {"delete_dataset", "restore_dataset"},
    "comment": {"delete_comment"},
    "view": {"patch_view", "delete_view"},
    "key": {"revoke_key"},
    "channel": {"patch_channel", "delete_channel", "rotate_channel", "test_channel"},
}
KIND = {operation: kind for kind, operations in OTHERS.items() for operation in operations}
PEOPLE = [(role, scope) for role in ROLE for scope in ("read", "submit", "admin")]


def may(role: str, scope: str, operation: str, owner: str) -> bool:
    """Say what the documentation says, by itself: `owner` is own, shared or other."""
    cap = 3 if scope == "admin" else ORDER.index(scope)
    level = min(ORDER.index(ROLE[role]), cap)
    if operation in ANYBODY:
        return True
    if operation in PERSONS or (operation in CHANGING and scope == "read"):
        return False
    if operation in KIND:
        private = KIND[operation] in ("key", "channel", "comment")  # never shared with the project's members
        easy = owner == "own" or (owner == "shared" and not private)
        enough = "read" if KIND[operation] in ("key", "channel") else "submit"
        return level >= ORDER.index(enough if easy else "admin")
    if operation in ADMINS | OPERATORS:
        return level >= ORDER.index("admin" if operation in ADMINS else "server")
    reads = OPERATIONS[operation][0] == "GET" or operation in ASKING
    return level >= ORDER.index("read" if reads else "submit")


@dataclass
class House:
    """A project with one member of each role and scope, and things that belong to each."""

    client: TestClient
    engine: Engine
    keys: dict[tuple[str, str], str]
    ids: dict[tuple[str, str], str]  # (kind, owner) -> id

    def share(self, shared: bool) -> None:
        with transaction(self.engine) as connection:
            connection.execute(text("UPDATE project SET members_manage = :shared"), {"shared": shared})

    def ask(self, who: tuple[str, str], operation: str, ids: dict[str, str]) -> int:
        method, path = OPERATIONS[operation]
        filled = re.sub(r"\{(\w+)\}", lambda found: ids.get(found[1], "x"), path)
        headers = {"Authorization": f"Bearer {self.keys[who]}"}
        body = {} if method in ("POST", "PATCH") else None
        answer = self.client.request("HEAD" if method == "GET" else method, filled, headers=headers, json=body)
        assert answer.status_code < 500, (operation, answer.text)
        if answer.status_code == 403:
            assert method == "GET" or answer.json()["code"] == "forbidden"
        return answer.status_code

    def give(self, table: str, column: str, object_id: str, who: tuple[str, str]) -> None:
        """Make somebody the owner of an object."""
        to = f"UPDATE {table} SET {column} = (SELECT id FROM member WHERE name = :name) WHERE id = :id"
        with transaction(self.engine) as connection:
            connection.execute(text(to), {"id": object_id, "name": "-".join(who)})

    def make(self, kind: str, who: tuple[str, str]) -> str:
        """Make an object that one of them owns, whatever they may do."""
        admin = {"Authorization": f"Bearer {self.keys['admin', 'admin']}"}
        if kind == "dataset":
            made = self.client.post("/v1/datasets?name=a.csv", content=b"x,y\n1,2\n2,3\n3,4\n", headers=admin).json()
            self.give("dataset", "owner_id", made["id"], who)
        elif kind == "comment":
            on = self.client.post("/v1/experiments", json=SPEC, headers=admin).json()["id"]
            made = self.client.post(f"/v1/experiments/{on}/comments", json={"text": "x"}, headers=admin).json()
            self.give("comment", "author_id", made["id"], who)
        elif kind == "view":
            new = {"place": "experiments", "name": new_id("viw")}
            made = self.client.post("/v1/views", json=new, headers=admin).json()
            self.give("saved_view", "owner_id", made["id"], who)
        elif kind == "key":
            made = self.client.post("/v1/keys", json={"name": "x", "scope": "read"}, headers=admin).json()
            self.give("api_key", "member_id", made["id"], who)
        elif kind == "study":
            space = {"/optimizer/lr": {"kind": "log_uniform", "low": 0.01, "high": 1}}
            asked = {"base": SPEC, "space": space, "budget": {"trials": 2}}
            made = self.client.post("/v1/studies", json=asked, headers=admin).json()
            self.give("study", "owner_id", made["id"], who)
        elif kind == "channel":
            there = {"kind": "webhook", "address": "https://0x7f.1/"}  # refused without a look-up
            made = self.client.post("/v1/channels", json=there, headers=admin).json()
            self.give("channel", "member_id", made["id"], who)
        else:
            made = self.client.post("/v1/experiments", json=SPEC, headers=admin).json()
            self.give("experiment", "owner_id", made["id"], who)
        return str(made["runs"][0]["id"] if kind == "run" else made["id"])


@pytest.fixture
def house(bare: TestClient, engine: Engine) -> House:
    keys = {}
    with transaction(engine) as connection:
        for role, scope in PEOPLE:
            as_member = "member" if role == "operator" else role
            keys[role, scope] = new_key(connection, "house", f"{role}-{scope}", role=as_member, scope=scope)
        connection.execute(text("UPDATE account SET admin = true WHERE name LIKE 'operator-%'"))
    return House(bare, engine, keys, {})


def test_the_matrix_of_operations_roles_scopes_and_owners_holds(house: House) -> None:
    wrong, asked = [], 0
    standing = {(kind, who): house.make(kind, who) for kind in ("experiment", "run", "channel") for who in PEOPLE}
    other = ("admin", "read")  # whose things others try to change
    for operation in sorted(OPERATIONS, key=lambda each: (each not in KIND, "delete" not in each)):
        kind = KIND.get(operation)
        for owner in ("own", "shared", "other") if kind else ("other",):
            house.share(owner == "shared")
            for who in PEOPLE:
                whose = who if owner == "own" else other
                if who == other and owner != "own":
                    continue
                ids = {}
                if kind:
                    ids = {f"{kind}_id": standing.get((kind, whose)) or house.make(kind, whose)}
                status, expected = house.ask(who, operation, ids), may(*who, operation, owner)
                asked += 1
                if (status != 403) != expected:
                    wrong.append((operation, who, owner, status))
    assert wrong == []
    assert asked > 800


def test_nothing_a_viewer_may_not_do_happens(house: House) -> None:
    mine = house.make("experiment", ("member", "admin"))
    for who in (("viewer", "admin"), ("admin", "read"), ("member", "read")):
        assert house.ask(who, "cancel_experiment", {"experiment_id": mine}) == 403
        assert house.ask(who, "post_experiment", {}) == 403
    runs = house.client.get(
        f"/v1/experiments/{mine}", headers={"Authorization": f"Bearer {house.keys['viewer', 'read']}"}
    ).json()["runs"]
    assert [run["state"] for run in runs] == ["queued"]


def test_each_operation_has_one_rule_and_each_rule_an_operation() -> None:
    assert set(RULES) == set(OPERATIONS)


def test_a_route_without_a_rule_fails_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    from service.api import app as module

    router = APIRouter()

    @router.get("/v1/secrets", operation_id="get_secrets")
    def get_secrets() -> dict[str, Any]:
        return {}

    class Module:
        pass

    added = Module()
    added.router = router  # type: ignore[attr-defined]
    monkeypatch.setattr(module, "ROUTES", (*module.ROUTES, added))
    with pytest.raises(LookupError, match="/v1/secrets"):
        create_app(Settings(database_url="postgresql+psycopg://"))


def test_a_key_makes_no_wider_key(house: House) -> None:
    narrow = {"Authorization": f"Bearer {house.keys['admin', 'submit']}"}
    refused = house.client.post("/v1/keys", json={"name": "x"}, headers=narrow)
    assert refused.status_code == 403
    assert house.client.post("/v1/keys", json={"name": "x", "scope": "submit"}, headers=narrow).status_code == 201
    assert house.client.get("/v1/me", headers=narrow).json()["level"] == "submit"


def test_the_first_member_of_a_project_is_its_admin_and_others_are_members(bare: TestClient, engine: Engine) -> None:
    with transaction(engine) as connection:
        keys = [new_key(connection, "new", name) for name in ("ann", "bob", "ann")]
    roles = [bare.get("/v1/me", headers={"Authorization": f"Bearer {key}"}).json()["role"] for key in keys]
    assert roles == ["admin", "member", "admin"]
