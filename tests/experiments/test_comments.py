"""Comments: written, named in, changed by their authors and deleted by admins too."""

from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine, text

from service.db.access.projects import new_key
from service.db.experiments.comments import mentioned
from service.db.session import transaction
from service.schemas.people.comments import MAX_TEXT

Submit = Callable[..., dict[str, Any]]


def member(engine: Engine, name: str, **more: str) -> dict[str, str]:
    with transaction(engine) as connection:
        return {"Authorization": f"Bearer {new_key(connection, 'default', name, **more)}"}


def test_comments_are_written_listed_changed_and_deleted(
    client: TestClient, submit: Submit, engine: Engine, stranger: dict[str, str]
) -> None:
    bob, vera = member(engine, "bob"), member(engine, "vera", role="viewer")
    posted = submit(seeds=[0, 1])
    at, run = f"/v1/experiments/{posted['id']}/comments", posted["runs"][0]["id"]
    first = client.post(at, json={"text": "look, @bob: `loss`"}).json()
    second = client.post(at, json={"text": "mine", "run_id": run}, headers=bob).json()
    assert (first["author"], first["mentions"], first["own"], first["run_id"]) == ("ada", ["bob"], True, None)
    listed = client.get(at, headers=vera).json()["items"]
    assert [(each["id"], each["own"]) for each in listed] == [(second["id"], False), (first["id"], False)]
    assert [each["id"] for each in client.get(at, params={"run": run}).json()["items"]] == [second["id"]]
    paged = client.get(f"{at}?limit=1").json()
    after = client.get(at, params={"limit": 1, "cursor": paged["next_cursor"]}).json()["items"]
    assert [each["id"] for each in after] == [first["id"]]
    assert client.get("/v1/experiments").json()["items"][0]["comments"] == 2

    mine = f"/v1/comments/{second['id']}"
    assert client.patch(mine, json={"text": "by an admin"}).status_code == 403
    changed = client.patch(mine, json={"text": "better, @vera"}, headers=bob).json()
    assert (changed["text"], changed["mentions"]) == ("better, @vera", ["vera"])
    assert changed["edited_at"]
    for who, status in ((vera, 403), (stranger, 404)):
        assert client.delete(mine, headers=who).status_code == status
    assert client.delete(f"/v1/comments/{first['id']}", headers=bob).status_code == 403
    client.patch("/v1/project", json={"members_manage": True})
    assert client.delete(f"/v1/comments/{first['id']}", headers=bob).status_code == 403, "words are their author's"
    assert client.delete(mine).status_code == 204, "by an admin"
    assert client.delete(mine).status_code == 404
    assert client.post(at, json={"text": "x"}, headers=vera).status_code == 403
    for method, path in (("GET", at), ("POST", at), ("PATCH", f"/v1/comments/{first['id']}")):
        assert client.request(method, path, json={"text": "x"}, headers=stranger).status_code == 404


def test_what_a_comment_may_say(client: TestClient, submit: Submit) -> None:
    posted, other = submit(), submit()
    at = f"/v1/experiments/{posted['id']}/comments"
    for words in ("", "  \n", "a\x00b", "x" * (MAX_TEXT + 1)):
        assert client.post(at, json={"text": words}).status_code == 422
    assert client.post(at, json={"text": "x" * MAX_TEXT}).status_code == 201
    wrong = client.post(at, json={"text": "x", "run_id": other["runs"][0]["id"]})
    assert (wrong.status_code, wrong.json()["errors"][0]["pointer"]) == (422, "/run_id")


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("@ann and @ann b, again @ann", ["ann", "ann b"]),
        ("mail me@ann.example, @anna, @@ann", []),
        ("(@ann)", ["ann"]),
        ("@\u674e\u96f7: look", ["\u674e\u96f7"]),
        ("@nobody", []),
    ],
)
def test_a_name_after_an_at_is_a_mention(words: str, found: list[str]) -> None:
    assert mentioned(words, ["ann", "ann b", "\u674e\u96f7"]) == found


def test_whom_an_edit_names_is_added_to_who_was_told(client: TestClient, submit: Submit, engine: Engine) -> None:
    member(engine, "bob")
    at = f"/v1/experiments/{submit()['id']}/comments"
    made = client.post(at, json={"text": "@bob"}).json()
    client.patch(f"/v1/comments/{made['id']}", json={"text": "@ada"})
    with transaction(engine) as connection:
        query = "SELECT m.name FROM mention n JOIN member m ON m.id = n.member_id ORDER BY 1"
        assert list(connection.execute(text(query)).scalars()) == ["ada", "bob"]
    assert client.delete(f"/v1/comments/{made['id']}").status_code == 204
