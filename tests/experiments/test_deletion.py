"""Deleting for good: what went is gone for every reader, and what others still need cannot go."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fastapi.routing import iter_route_contexts
from fastapi.testclient import TestClient
from sqlalchemy import Engine, text

from service.api.app import create_app
from service.api.dependencies import query_names
from service.db.access.principal import Principal
from service.db.experiments import deletion
from service.db.runs import leases
from service.db.session import transaction
from service.lifecycle import State
from service.settings import Settings
from tests.fixtures.api import SPEC, Worker, points
from tests.harness.statements import sent_statements
from tests.harness.waiting import until

Submit = Callable[..., dict[str, Any]]
FOREVER = {"forever": True}
HELD = ("metric_chunk", "metric_tile", "series", "event", "reading", "experiment_figure")


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    url = database_url.replace("//saddle@", "//saddle_api@", 1)
    return Settings(database_url=url, data_dir=tmp_path / "data", reap_s=0.1, broker_url=None)


def rows(engine: Engine) -> dict[str, int]:
    with transaction(engine) as connection:
        return {name: connection.execute(text(f"SELECT count(*) FROM {name}")).scalar_one() for name in HELD}


def trained(submit: Submit, worker: Worker, state: State = State.SUCCEEDED, **changes: Any) -> dict[str, Any]:
    """An experiment of one run with 50 steps, a checkpoint at 20."""
    posted = submit(steps=50, **changes)
    held = worker.claim()
    worker.save(held, 20, points(1, 20))
    with transaction(worker.engine) as connection:
        leases.save_reading(connection, held, 20, "sharpness", {"value": "a secret"}, {})
    failure = {"code": "crashed", "detail": "a secret"} if state is State.FAILED else None
    worker.finish(held, points(21, 50), state, failure)
    return posted


def test_a_deleted_experiment_is_gone_for_every_reader(
    client: TestClient, submit: Submit, worker: Worker, engine: Engine, stranger: dict[str, str]
) -> None:
    before = rows(engine)
    gone, stays = trained(submit, worker, name="gone", notes="a secret"), submit(name="stays")
    until(lambda: rows(engine)["experiment_figure"] == 2)
    used = client.get("/v1/storage").json()
    run, at = gone["runs"][0]["id"], f"/v1/experiments/{gone['id']}"
    asked = {"experiments": [gone["id"], stays["id"]], "series": ["loss"]}
    comparison = client.post("/v1/comparisons", json=asked).headers["Location"]
    filtered = {"filter": "name ~ S OR name ~ g", "series": ["loss"]}
    by_filter = client.post("/v1/comparisons", json=filtered).headers["Location"]
    assert client.delete(at, headers=stranger, params=FOREVER).status_code == 404
    answer = client.delete(at, params=FOREVER)
    assert (answer.status_code, answer.content) == (204, b"")
    parts = ("", "/attempts", "/history", "/series", "/readings", "/checkpoints", "/replays", "/events")
    for path in (at, comparison, *(f"/v1/runs/{run}{part}" for part in parts)):
        assert client.get(path).status_code == 404, path
    assert [each["id"] for each in client.get("/v1/experiments?archived=true").json()["items"]] == [stays["id"]]
    assert [each["experiment_id"] for each in client.get("/v1/runs").json()["items"]] == [stays["id"]]
    assert [each["experiment_id"] for each in client.get(by_filter).json()["groups"]] == [stays["id"]]
    for act in ("cancel", "archive"):
        assert client.post(f"{at}/{act}").status_code == 404
    for made in ("forks", "retry", "replay"):
        assert client.post(f"/v1/runs/{run}/{made}", json={}).status_code == 404
    assert client.delete(at, params=FOREVER).status_code == 404
    now = client.get("/v1/storage").json()
    assert (used["points"], used["checkpoints"]) == (100, 1)
    assert (now["runs"], now["points"], now["points_bytes"], now["checkpoints_bytes"]) == (1, 0, 0, 0)
    assert rows(engine) == before | {"event": before["event"] + 1}
    with transaction(engine) as connection:
        whole = connection.execute(text("SELECT e::text || r::text FROM experiment e JOIN run r ON true")).scalars()
        assert not any("secret" in row for row in whole)


def test_what_has_not_ended_is_cancelled_first(client: TestClient, submit: Submit) -> None:
    posted = submit(seeds=[0, 1])
    at = f"/v1/experiments/{posted['id']}"
    answer = client.delete(at, params=FOREVER)
    assert answer.status_code == 409
    assert posted["runs"][0]["id"] in answer.json()["detail"]
    assert "cancel" in answer.json()["detail"]
    client.post(f"{at}/cancel")
    assert client.delete(at, params=FOREVER).status_code == 204
    assert client.post("/v1/experiments", json=SPEC).status_code == 201


def test_an_idempotency_key_is_free_again(client: TestClient) -> None:
    headers = {"Idempotency-Key": "once"}
    first = client.post("/v1/experiments", json=SPEC, headers=headers).json()
    client.post(f"/v1/experiments/{first['id']}/cancel")
    assert client.delete(f"/v1/experiments/{first['id']}", params=FOREVER).status_code == 204
    second = client.post("/v1/experiments", json=SPEC | {"steps": 7}, headers=headers)
    assert (second.status_code, "Idempotent-Replayed" in second.headers) == (201, False)


def test_a_fork_keeps_what_it_starts_from_until_it_has_ended(
    client: TestClient, submit: Submit, worker: Worker
) -> None:
    parent = trained(submit, worker)
    at, run = f"/v1/experiments/{parent['id']}", parent["runs"][0]["id"]
    free = client.post(f"/v1/runs/{run}/forks", json={"step": 0}).json()
    client.post(f"/v1/experiments/{free['id']}/cancel")
    fork = client.post(f"/v1/runs/{run}/forks", json={"step": 20, "changes": {"steps": 60}}).json()
    child = fork["runs"][0]["id"]
    held = worker.claim()
    answer = client.delete(at, params=FOREVER)
    assert answer.status_code == 409
    assert child in answer.json()["detail"]
    assert fork["id"] in answer.json()["detail"]
    worker.finish(held, points(21, 30), State.FAILED, {"code": "crashed", "detail": "said"})
    again = client.post(f"/v1/runs/{child}/retry").json()
    assert again["id"] in client.delete(at, params=FOREVER).json()["detail"]  # it starts from the same checkpoint
    client.post(f"/v1/runs/{again['id']}/cancel")
    assert client.delete(at, params=FOREVER).status_code == 204
    view = client.get(f"/v1/runs/{child}").json()
    assert (view["parent_run_id"], view["relation"]) == (run, "fork")
    for made in ("retry", "replay"):
        refused = client.post(f"/v1/runs/{child}/{made}", json={})
        assert refused.status_code == 409, refused.text
        assert "deleted" in refused.json()["detail"]
    assert client.delete(f"/v1/experiments/{fork['id']}", params=FOREVER).status_code == 204


def test_a_failure_is_deleted_with_its_words(
    client: TestClient, submit: Submit, worker: Worker, engine: Engine
) -> None:
    posted = trained(submit, worker, State.FAILED)
    assert client.delete(f"/v1/experiments/{posted['id']}", params=FOREVER).status_code == 204
    with transaction(engine) as connection:
        assert connection.execute(text("SELECT failure FROM run")).scalar_one() == {}


def test_a_dataset_is_deleted_with_its_file_once_nothing_names_it(
    client: TestClient, settings: Settings, stranger: dict[str, str]
) -> None:
    content = b"size,kind\n" + b"1,a\n2,b\n" * 40
    first, second = (client.post(f"/v1/datasets?name={name}", content=content).json() for name in ("x", "y"))
    file = settings.dataset_dir / first["sha256"] / "content"
    at = f"/v1/datasets/{first['id']}"
    dataset = {"kind": "upload", "upload": first["id"], "predict": "kind", "task": "classification"}
    posted = client.post("/v1/experiments", json=SPEC | {"dataset": dataset})
    assert posted.status_code == 201, posted.text
    assert client.delete(at, headers=stranger, params=FOREVER).status_code == 404
    refused = client.delete(at, params=FOREVER)
    assert refused.status_code == 409
    assert posted.json()["id"] in refused.json()["detail"]
    client.post(f"/v1/experiments/{posted.json()['id']}/cancel")
    assert client.delete(f"/v1/experiments/{posted.json()['id']}", params=FOREVER).status_code == 204
    assert client.delete(at, params=FOREVER).status_code == 204
    assert client.get(at).status_code == 404
    assert file.read_bytes() == content  # the other has the same
    assert client.delete(f"/v1/datasets/{second['id']}", params=FOREVER).status_code == 204
    assert not file.parent.exists()
    assert client.post("/v1/datasets?name=z", content=content).status_code == 201
    assert file.read_bytes() == content


def test_the_query_parameters_that_a_route_knows_are_those_of_the_document() -> None:
    app = create_app(Settings(database_url="postgresql+psycopg://"))
    paths = app.openapi()["paths"]
    seen = 0
    for each in iter_route_contexts(app.routes):
        for method in getattr(each, "methods", None) or ():
            operation = paths[each.path_format][method.lower()]
            documented = {given["name"] for given in operation.get("parameters", ()) if given["in"] == "query"}
            assert set(query_names(each.dependant)) == documented, each.path_format
            seen += 1
    assert seen == sum(map(len, paths.values()))


def test_deleting_many_runs_takes_as_many_statements_as_deleting_few(
    client: TestClient, submit: Submit, engine: Engine, principal: Principal
) -> None:
    sent = []
    for seeds in (2, 10):
        posted = submit(seeds=list(range(seeds)))
        client.post(f"/v1/experiments/{posted['id']}/cancel")
        with transaction(engine) as connection, sent_statements() as statements:
            deletion.erase(connection, principal, posted["id"])
        sent.append(len(statements))
        assert client.get(f"/v1/experiments/{posted['id']}").status_code == 404
    assert sent[0] == sent[1]
