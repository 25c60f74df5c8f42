"""Previews of augmented samples over HTTP and in the protocol: jobs of a spec that belong to no experiment."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import text

from service.api.routes import catalog as routes
from service.db.runs import leases, prediction_jobs, stream_queries
from service.db.runs.claims import Claim
from service.db.session import transaction
from service.lifecycle import State
from tests.fixtures.api import SPEC, Worker
from tests.ingest.images.image_files import archive, class_files

Submit = Callable[..., dict[str, Any]]
PATH = "/v1/augmentations/preview"
FLIP = {"kind": "horizontal_flip"}
FOUND = {"images": 8, "draws": 3, "height": 8, "width": 8, "png": "iVBORw0KGgo="}


@pytest.fixture(autouse=True)
def without_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routes, "PREVIEW_WAIT_S", 0.0)


@pytest.fixture
def spec(client: TestClient, tmp_path: Path) -> dict[str, Any]:
    """A spec with augmented images of an upload."""
    content = archive(tmp_path / "pets.zip", class_files(12)).read_bytes()
    headers = {"Content-Type": "application/octet-stream"}
    answer = client.post("/v1/datasets?name=pets.zip", content=content, headers=headers)
    assert answer.status_code == 201, answer.text
    return SPEC | {"dataset": {"kind": "images", "upload": answer.json()["id"], "size": 8}, "augment": [FLIP]}


def draw(worker: Worker, held: Claim) -> None:
    """Send the picture as a worker does."""
    with transaction(worker.engine) as connection:
        leases.save_reading(connection, held, 0, "augmented_samples", FOUND, {})
    worker.finish(held)


def test_a_preview_is_drawn_by_a_worker_and_asked_for_later(
    client: TestClient, spec: dict[str, Any], worker: Worker, stranger: dict[str, str]
) -> None:
    answer = client.post(PATH, json=spec | {"seeds": [7, 8]})
    job = answer.json()
    assert (answer.status_code, job["state"], job["png"]) == (202, "queued", None), answer.text
    assert job["waits"].startswith("no worker"), "which is why it waits"
    location = answer.headers["Location"]
    held = worker.claim()
    assert (held.run_id, held.seed, held.total_steps, held.checkpoint) == (job["id"], 7, 0, None)
    stored = client.post("/v1/experiments?dry_run=true", json=spec | {"seeds": [7, 8]}).json()["spec"]
    assert held.spec == stored, "as that of a run would be"
    assert client.get(location).json()["state"] == "running"
    draw(worker, held)
    assert client.get(location).json() == FOUND | {
        "id": job["id"],
        "state": "succeeded",
        "waits": None,
        "error": None,
    }
    assert client.get(location, headers=stranger).status_code == 404


def test_a_preview_that_a_worker_lost_is_drawn_by_the_next(
    client: TestClient, spec: dict[str, Any], worker: Worker
) -> None:
    location = client.post(PATH, json=spec).headers["Location"]
    first = worker.claim()
    with transaction(worker.engine) as connection:
        lost = "UPDATE run SET state = 'queued', lease = NULL WHERE id = :id"
        connection.execute(text(lost), {"id": first.run_id})
    again = worker.claim()
    assert (again.run_id, again.attempt, again.spec) == (first.run_id, 2, first.spec)
    draw(worker, again)
    assert client.get(location).json()["png"] == FOUND["png"]


def test_a_preview_is_no_run_of_the_project(
    client: TestClient, spec: dict[str, Any], submit: Submit, worker: Worker
) -> None:
    job = client.post(PATH, json=spec).json()["id"]
    run = submit()["runs"][0]["id"]
    held = worker.claim()
    assert held.run_id == job
    for path in ("", "/events", "/history", "/log", "/readings", "/series?names=loss"):
        assert client.get(f"/v1/runs/{job}{path}").status_code == 404, path
    for command in ("cancel", "pause", "resume", "retry", "replay"):
        assert client.post(f"/v1/runs/{job}/{command}").status_code == 404, command
    assert client.get(f"/v1/augmentations/previews/{run}").status_code == 404, "nor is a run a preview"
    assert [each["id"] for each in client.get("/v1/runs?predictions=true").json()["items"]] == [run]
    assert len(client.get("/v1/experiments").json()["items"]) == 1
    assert client.get("/v1/queue").is_success
    with transaction(worker.engine) as connection:
        project = connection.execute(text("SELECT project_id FROM run WHERE id = :id"), {"id": job}).scalar_one()
        told = stream_queries.of_projects(connection, [(project, 0, 0)], stream_queries.horizon(connection) + 1000, 100)
        assert {each.event.run_id for each in told[project]} == {run}, "nobody who follows the project is told"
        assert stream_queries.running(connection, [project]) == {}
    draw(worker, held)
    audited = client.get("/v1/audit?action=run.preview").json()["items"]
    assert [each["target"] for each in audited] == [job]


def test_a_person_has_one_preview_that_waits_and_it_goes_before_their_runs(
    client: TestClient, spec: dict[str, Any], submit: Submit, worker: Worker
) -> None:
    run = submit(priority=10)["runs"][0]["id"]
    first, second = (client.post(PATH, json=spec).json()["id"] for _ in range(2))
    states = [client.get(f"/v1/augmentations/previews/{each}").json()["state"] for each in (first, second)]
    assert states == ["cancelled", "queued"]
    running = worker.claim()
    assert running.run_id == second
    third = client.post(PATH, json=spec).json()["id"]
    assert client.get(f"/v1/augmentations/previews/{second}").json()["state"] == "running", "it is about to end"
    assert [worker.claim().run_id for _ in range(2)] == [third, run]


def test_what_cannot_be_previewed_is_refused(client: TestClient, spec: dict[str, Any]) -> None:
    def problems(**changes: Any) -> list[tuple[str, str]]:
        answer = client.post(PATH, json=spec | changes)
        assert answer.status_code == 422, answer.text
        return [(each["pointer"], each["code"]) for each in answer.json()["errors"]]

    assert problems(augment=[]) == [("/augment", "too_short")]
    assert [pointer for pointer, _ in problems(augment=[{"kind": "crop", "padding": 400}])] == ["/augment/0/padding"]
    assert [pointer for pointer, _ in problems(dataset={"kind": "iris"})] == ["/augment/0"]


def test_a_preview_that_failed_says_why(client: TestClient, spec: dict[str, Any], worker: Worker) -> None:
    location = client.post(PATH, json=spec).headers["Location"]
    failure = {"code": "dataset_missing", "detail": "The upload is gone."}
    worker.finish(worker.claim(), state=State.FAILED, failure=failure)
    found = client.get(location).json()
    assert (found["state"], found["error"], found["png"]) == ("failed", "The upload is gone.", None)


def test_a_preview_is_deleted_a_week_after_its_end(client: TestClient, spec: dict[str, Any], worker: Worker) -> None:
    location = client.post(PATH, json=spec).headers["Location"]
    draw(worker, worker.claim())

    def age(days: int) -> int:
        with transaction(worker.engine) as connection:
            ended = "UPDATE run SET finished_at = finished_at - make_interval(days => :days)"
            connection.execute(text(ended), {"days": days})
        with transaction(worker.engine) as connection:
            return prediction_jobs.empty_old(connection, 1_000)

    assert (age(6), client.get(location).status_code) == (0, 200)
    assert (age(2), client.get(location).status_code) == (1, 404)
    assert age(1) == 0, "it was emptied before"
    with transaction(worker.engine) as connection:
        assert connection.execute(text("SELECT count(*) FROM reading")).scalar_one() == 0
