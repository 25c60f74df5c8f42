"""The bin: what lies in it is gone for every reader, and comes back as it was."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine, text

from service.db.access.projects import new_key
from service.db.session import transaction
from service.process.refusals import Refusals
from service.process.upkeep import KeyUse, Upkeep
from service.settings import Settings
from tests.fixtures.api import SPEC, Worker, points

Submit = Callable[..., dict[str, Any]]
FOREVER = {"forever": True}


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    url = database_url.replace("//saddle@", "//saddle_api@", 1)
    return Settings(database_url=url, data_dir=tmp_path / "data", reap_s=0.1, broker_url=None)


def trained(submit: Submit, worker: Worker, **changes: Any) -> dict[str, Any]:
    posted = submit(steps=50, **changes)
    held = worker.claim()
    worker.save(held, 20, points(1, 20))
    worker.finish(held, points(21, 50))
    return posted


def member(engine: Engine, name: str, **more: str) -> dict[str, str]:
    with transaction(engine) as connection:
        return {"Authorization": f"Bearer {new_key(connection, 'default', name, **more)}"}


def read(client: TestClient, paths: list[str]) -> list[Any]:
    return [client.get(path).json() for path in paths]


def test_a_deleted_experiment_is_nowhere_and_comes_back_as_it_was(
    client: TestClient, submit: Submit, worker: Worker, stranger: dict[str, str]
) -> None:
    gone, stays = trained(submit, worker, name="gone", tags=["a"], notes="n"), trained(submit, worker, name="stays")
    run, at = gone["runs"][0]["id"], f"/v1/experiments/{gone['id']}"
    asked = {"experiments": [gone["id"], stays["id"]], "series": ["loss"]}
    comparison = client.post("/v1/comparisons", json=asked).headers["Location"]
    fork = client.post(f"/v1/runs/{run}/forks", json={"step": 20, "changes": {"steps": 60}}).json()["id"]
    client.post(f"{at}/comments", json={"text": "kept"})
    paths = [at, comparison, f"{at}/comments", *(f"/v1/runs/{run}{part}" for part in ("", "/history", "/series"))]
    before = read(client, paths)
    assert client.delete(at, headers=stranger).status_code == 404
    assert client.delete(at).status_code == 204
    for path in (*paths, f"/v1/runs/{run}/checkpoints", f"/v1/runs/{run}/events", f"/v1/runs/{run}/diagnosis"):
        assert client.get(path).status_code == 404, path
    assert "in the bin: restore it" in client.get(at).json()["detail"]
    assert "in the bin" in client.get(comparison).json()["detail"]
    assert "in the bin" not in client.get(at, headers=stranger).json()["detail"]
    listed = client.get("/v1/experiments?archived=true").json()["items"]
    assert {each["id"] for each in listed} == {stays["id"], fork}
    assert client.get("/v1/experiments", params={"filter": "name = gone"}).json()["items"] == []
    assert {each["experiment_id"] for each in client.get("/v1/runs").json()["items"]} == {stays["id"], fork}
    for act in ("cancel", "archive", "move", "share"):
        assert client.post(f"{at}/{act}", json={"project": "elsewhere"}).status_code == 404
    assert client.post(f"/v1/runs/{run}/replay", json={}).status_code == 404
    assert client.delete(at).status_code == 404

    (item,) = client.get("/v1/bin").json()["items"]
    assert (item["id"], item["kind"], item["name"], item["owner"], item["deleted_by"], item["runs"]) == (
        *(gone["id"], "experiment", "gone", "ada", "ada", 1),
    )
    assert item["size_bytes"] == client.get("/v1/storage").json()["bin_bytes"] == 10
    assert client.get("/v1/bin", headers=stranger).json()["items"] == []
    assert client.post(f"{at}/restore", headers=stranger).status_code == 404
    for _ in range(2):
        assert client.post(f"{at}/restore").status_code == 202, "a second time changes nothing"
    assert read(client, paths) == before
    assert client.get("/v1/bin").json()["items"] == []


def test_what_has_not_ended_is_cancelled_first(client: TestClient, submit: Submit) -> None:
    posted = submit()
    refused = client.delete(f"/v1/experiments/{posted['id']}")
    assert refused.status_code == 409
    assert "cancel the experiment first" in refused.json()["detail"]
    assert client.get(f"/v1/experiments/{posted['id']}").status_code == 200


def test_an_idempotency_key_is_free_while_its_experiment_lies_in_the_bin(client: TestClient) -> None:
    headers = {"Idempotency-Key": "once"}
    first, second = (_posted(client, headers) for _ in range(2))
    assert first != second
    assert client.post(f"/v1/experiments/{first}/restore").status_code == 202


def _posted(client: TestClient, headers: dict[str, str]) -> str:
    made = str(client.post("/v1/experiments", json=SPEC, headers=headers).json()["id"])
    client.post(f"/v1/experiments/{made}/cancel")
    assert client.delete(f"/v1/experiments/{made}").status_code == 204
    return made


def test_only_owner_and_admins_delete_for_good_even_where_members_manage(
    client: TestClient, engine: Engine, submit: Submit
) -> None:
    bob, at = member(engine, "bob"), f"/v1/experiments/{submit()['id']}"
    client.post(f"{at}/cancel")
    assert client.delete(at, headers=bob).status_code == 403
    assert client.patch("/v1/project", json={"members_manage": True}).json()["members_manage"]
    assert client.delete(at, headers=bob, params=FOREVER).status_code == 403
    assert client.delete(at, headers=bob).status_code == 204
    assert client.delete(at, headers=bob, params=FOREVER).status_code == 403
    assert client.post(f"{at}/restore", headers=bob).status_code == 202
    mine = client.post("/v1/experiments", json=SPEC, headers=bob).json()["id"]
    client.post(f"/v1/experiments/{mine}/cancel")
    assert client.delete(f"/v1/experiments/{mine}", headers=bob, params=FOREVER).status_code == 204
    client.delete(at)
    assert client.delete(at, params=FOREVER).status_code == 204, "from the bin"
    assert client.get("/v1/bin").json()["items"] == []


def test_the_bin_is_emptied_of_what_is_older(
    client: TestClient, engine: Engine, submit: Submit, worker: Worker, settings: Settings
) -> None:
    old, new = trained(submit, worker), trained(submit, worker)
    dataset = client.post("/v1/datasets?name=x", content=b"a,b\n1,2\n2,3\n3,4\n").json()
    file = settings.dataset_dir / dataset["sha256"] / "content"
    for each in (f"experiments/{old['id']}", f"experiments/{new['id']}", f"datasets/{dataset['id']}"):
        assert client.delete(f"/v1/{each}").status_code == 204
    upkeep = Upkeep(client.app_state["runtime"].engine, settings, KeyUse(), Refusals(), threading.Event())
    upkeep.look()
    assert len(client.get("/v1/bin").json()["items"]) == 3
    assert file.exists()
    with transaction(engine) as connection:
        for table, chosen in (("experiment", old["id"]), ("dataset", dataset["id"])):
            late = f"UPDATE {table} SET deleted_at = deleted_at - interval '30 days' WHERE id = :id"
            connection.execute(text(late), {"id": chosen})
    upkeep.look()
    assert [each["id"] for each in client.get("/v1/bin").json()["items"]] == [new["id"]]
    assert not file.exists()
    with transaction(engine) as connection:
        kept = connection.execute(text("SELECT run_id, removed_at IS NULL FROM checkpoint")).all()
        said = connection.execute(text("SELECT actor FROM audit WHERE action = 'experiment.erase'")).scalar_one()
    assert {row[0]: row[1] for row in kept} == {old["runs"][0]["id"]: False, new["runs"][0]["id"]: True}
    assert said == "the server"


def test_a_dataset_lies_in_the_bin_with_its_file_and_comes_back(client: TestClient, stranger: dict[str, str]) -> None:
    content = b"size,kind\n" + b"1,a\n2,b\n" * 40
    made = client.post("/v1/datasets?name=x", content=content).json()
    at, spec = f"/v1/datasets/{made['id']}", SPEC | {"dataset": _table(made["id"])}
    assert client.delete(at, headers=stranger).status_code == 404
    assert client.delete(at).status_code == 204
    assert client.get(at).status_code == 404
    assert client.get("/v1/datasets").json()["items"] == []
    assert client.post("/v1/experiments", json=spec).status_code == 422
    assert [each["kind"] for each in client.get("/v1/bin").json()["items"]] == ["dataset"]
    assert client.post(f"{at}/restore", headers=stranger).status_code == 404
    assert client.post(f"{at}/restore").json() == made
    posted = client.post("/v1/experiments", json=spec).json()["id"]
    client.post(f"/v1/experiments/{posted}/cancel")
    client.delete(f"/v1/experiments/{posted}")
    refused = client.delete(at)
    assert refused.status_code == 409
    assert "in the bin trains on the dataset" in refused.json()["detail"]
    client.delete(f"/v1/experiments/{posted}", params=FOREVER)
    assert client.delete(at, params=FOREVER).status_code == 204
    assert client.post(f"{at}/restore").status_code == 404


def _table(upload: str) -> dict[str, str]:
    return {"kind": "upload", "upload": upload, "predict": "kind", "task": "classification"}


def test_the_bin_is_paged_with_the_last_deleted_first(client: TestClient, submit: Submit) -> None:
    ids = [submit()["id"] for _ in range(3)]
    for each in (ids[1], ids[0], ids[2]):
        client.post(f"/v1/experiments/{each}/cancel")
        client.delete(f"/v1/experiments/{each}")
    first = client.get("/v1/bin?limit=2").json()
    second = client.get("/v1/bin", params={"limit": 2, "cursor": first["next_cursor"]}).json()
    assert [each["id"] for each in first["items"] + second["items"]] == [ids[2], ids[0], ids[1]]
    assert second["next_cursor"] is None
