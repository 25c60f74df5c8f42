"""What people write on an experiment, putting it away, and what it takes."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from fastapi.testclient import TestClient

from tests.fixtures.api import Worker, points

Submit = Callable[..., dict[str, Any]]


def test_names_tags_and_notes_change_and_the_posted_spec_does_not(client: TestClient, submit: Submit) -> None:
    posted = submit(name="first", tags=["old"])
    at = f"/v1/experiments/{posted['id']}"
    answer = client.patch(at, json={"name": "second", "tags": ["new", "two words"]})
    assert answer.status_code == 200, answer.text
    view = client.patch(at, json={"notes": "kept"}).json()
    assert (view["name"], view["tags"], view["notes"]) == ("second", ["new", "two words"], "kept")
    assert (view["spec"]["name"], view["hash"]) == ("first", posted["hash"])
    found = client.get("/v1/experiments", params={"filter": "tag = 'two words' AND notes ~ KEPT"}).json()["items"]
    assert [(each["id"], each["tags"]) for each in found] == [(posted["id"], ["new", "two words"])]
    assert client.get("/v1/experiments", params={"filter": "tag = old"}).json()["items"] == []
    assert client.patch(at, json={"spec": {}}).status_code == 422


def test_what_is_put_away_is_in_no_list_until_it_is_asked_for(
    client: TestClient, submit: Submit, stranger: dict[str, str]
) -> None:
    first, second = submit()["id"], submit()["id"]
    at = f"/v1/experiments/{first}"
    assert client.post(f"{at}/archive", headers=stranger).status_code == 404
    away = client.post(f"{at}/archive").json()["archived_at"]
    assert client.post(f"{at}/archive").json()["archived_at"] == away
    assert [each["id"] for each in client.get("/v1/experiments").json()["items"]] == [second]
    everything = client.get("/v1/experiments", params={"archived": True}).json()["items"]
    assert [each["id"] for each in everything] == [second, first]
    assert client.get(at).status_code == 200
    assert client.post(f"{at}/unarchive").json()["archived_at"] is None
    assert len(client.get("/v1/experiments").json()["items"]) == 2


def test_storage_counts_points_and_checkpoints_of_each_run(
    client: TestClient, submit: Submit, worker: Worker, stranger: dict[str, str]
) -> None:
    posted = submit(steps=50)
    held = worker.claim()
    worker.save(held, 20, points(1, 20))
    worker.finish(held, points(21, 50))
    other = submit()["id"]
    used = client.get("/v1/storage").json()
    assert (used["runs"], used["points"], used["checkpoints"], used["checkpoints_bytes"]) == (2, 100, 1, 10)
    assert used["greatest"][0]["run_id"] == posted["runs"][0]["id"]
    assert 100 <= used["points_bytes"] <= 2000
    assert client.get("/v1/storage", params={"experiment": other}).json()["points_bytes"] == 0
    assert client.get("/v1/storage", headers=stranger).json()["runs"] == 0


def test_a_change_of_what_somebody_else_changed_is_refused(client: TestClient, submit: Submit) -> None:
    client.headers["Accept-Encoding"] = "identity"  # the ETag of a packed answer has a mark of its own
    posted = submit(name="shared", notes="first")
    at = f"/v1/experiments/{posted['id']}"
    read = client.get(at)
    etag = read.headers["ETag"]
    assert read.json()["etag"] == etag
    assert client.get(at, headers={"If-None-Match": etag}).status_code == 200, "its runs may have moved"

    mine = client.patch(at, json={"notes": "mine"}, headers={"If-Match": etag})
    newer = mine.headers["ETag"]
    assert (mine.status_code, mine.json()["etag"]) == (200, newer)
    assert newer != etag
    for stale in (etag, '"x", "y"', f"W/{newer}", newer.strip('"'), ""):
        theirs = client.patch(at, json={"notes": "theirs"}, headers={"If-Match": stale})
        assert (theirs.status_code, theirs.json()["code"]) == (412, "precondition_failed"), stale
        assert theirs.headers["ETag"] == newer
        assert client.delete(at, headers={"If-Match": stale}).status_code == 412
    assert client.get(at).json()["notes"] == "mine"
    for good in (newer, f'"x" , {newer}', "*"):
        assert client.patch(at, json={"notes": "mine"}, headers={"If-Match": good}).headers["ETag"] == newer
    assert client.patch(at, json={"notes": "first"}).headers["ETag"] == etag, "equal content, equal ETag"
    missing = f"/v1/experiments/exp_{'0' * 26}"
    assert client.patch(missing, json={"notes": ""}, headers={"If-Match": "*"}).status_code == 404


def test_a_priority_is_changed_on_condition_too(client: TestClient, submit: Submit) -> None:
    at = f"/v1/runs/{submit()['runs'][0]['id']}"
    etag = client.get(at).headers["ETag"]
    assert client.patch(at, json={"priority": 5}, headers={"If-Match": etag}).status_code == 200
    assert client.patch(at, json={"priority": 7}, headers={"If-Match": etag}).status_code == 412
    assert client.get(at).json()["priority"] == 5


def test_of_two_changes_at_once_on_one_condition_one_is_made(client: TestClient, submit: Submit) -> None:
    at = f"/v1/experiments/{submit()['id']}"
    given = {"If-Match": client.get(at).headers["ETag"]}

    def write(number: int) -> int:
        return client.patch(at, json={"notes": f"{number}"}, headers=given).status_code

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(write, range(8))) == [200] + [412] * 7
