"""GET /metrics: what Prometheus reads, for whom, and without the database."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import Engine, text

from service.api.app import create_app
from service.db.session import transaction
from service.lifecycle import State
from service.process import monitoring
from service.settings import Settings
from tests.fixtures.api import SPEC, Worker, points

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


@pytest.fixture
def watched(settings: Settings, key: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    """A client with a key of an API that shows metrics, each scrape of which looks anew."""
    monkeypatch.setattr(monitoring, "KEPT_S", 0.0)
    app = create_app(settings.model_copy(update={"metrics": True}))
    with TestClient(app, raise_server_exceptions=False, headers={"Authorization": f"Bearer {key}"}) as client:
        yield client


def scrape(client: TestClient) -> Samples:
    answer = client.get("/metrics")
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/plain; version=")
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def value(found: Samples, name: str, **labels: str) -> float | None:
    return found.get((name, tuple(sorted(labels.items()))))


def test_without_the_setting_there_are_none(shared: TestClient) -> None:
    answer = shared.get("/metrics")
    assert answer.status_code == 404
    assert "SADDLE_METRICS" in answer.json()["detail"]


def test_where_they_are_off_nothing_of_them_is_imported() -> None:
    slow = ("prometheus_client", "opentelemetry.sdk", "opentelemetry.exporter", "google.protobuf")
    code = f"import sys, service.api.app; print([name for name in {slow} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, check=True, text=True)
    assert done.stdout == "[]\n"


def test_nobody_reads_them_without_a_key(watched: TestClient) -> None:
    assert watched.get("/metrics", headers={"Authorization": "Bearer x"}).status_code == 401


def test_each_replica_is_read_by_its_address(settings: Settings, key: str) -> None:
    app = create_app(settings.model_copy(update={"metrics": True, "allowed_hosts": "saddle.example.org"}))
    by_address = {"Host": "172.18.0.7:8000", "Authorization": f"Bearer {key}"}
    with TestClient(app, raise_server_exceptions=False) as client:
        assert client.get("/metrics", headers=by_address).status_code == 200
        assert client.get("/v1/me", headers=by_address).status_code == 421
        assert client.get("/metrics", headers={"Host": "172.18.0.7:8000"}).status_code == 401


def test_the_life_of_a_run_is_seen_and_nobody_is_named(watched: TestClient, worker: Worker) -> None:
    first = scrape(watched)
    assert value(first, "saddle_database_up") == 1
    assert value(first, "saddle_runs_ended_total", state="succeeded") == 0
    posted = watched.post("/v1/experiments", json=SPEC | {"name": "secret-plan", "seeds": [0, 1]}).json()
    waiting = scrape(watched)
    assert value(waiting, "saddle_runs", pool="cpu", state="queued") == 2
    assert 0 <= (value(waiting, "saddle_oldest_waiting_run_seconds", pool="cpu") or 0) < 60
    held = worker.claim()
    worker.flush(held, points(1, 100))
    running = scrape(watched)
    assert value(running, "saddle_runs", pool="cpu", state="running") == 1
    assert value(running, "saddle_points_written_total") == 200
    worker.finish(held, points(101, 150), State.SUCCEEDED)
    ended = scrape(watched)
    assert value(ended, "saddle_points_written_total") == 300, "also what was written with the end"
    assert value(ended, "saddle_runs_ended_total", state="succeeded") == 1
    assert value(scrape(watched), "saddle_runs_ended_total", state="succeeded") == 1, "each once"
    duration = {"http_route": "/v1/experiments", "http_request_method": "POST", "http_response_status_code": "201"}
    durations = {
        labels: value for (name, labels), value in ended.items() if name == "http_server_request_duration_seconds_count"
    }
    assert [value for labels, value in durations.items() if duration.items() <= dict(labels).items()] == [1]
    written = watched.get("/metrics").text
    for named in (posted["id"], posted["runs"][0]["id"], "secret-plan", "ada", "default", "testserver"):
        assert named not in written


def test_lost_and_preempted_runs_are_counted(watched: TestClient, worker: Worker, engine: Engine) -> None:
    scrape(watched)
    watched.post("/v1/experiments", json=SPEC)
    held = worker.claim()
    with transaction(engine) as connection:
        event = "INSERT INTO event (project_id, run_id, kind, data) SELECT project_id, id, :kind, :data FROM run"
        for kind, data in (("preempted", "{}"), ("state", '{"state": "queued", "ending": "lost"}')):
            connection.execute(text(event.replace(":data", "cast(:data AS jsonb)")), {"kind": kind, "data": data})
    assert held.attempt == 1
    found = scrape(watched)
    assert value(found, "saddle_runs_preempted_total") == value(found, "saddle_runs_lost_total") == 1


def test_the_door_and_the_background_are_seen(watched: TestClient) -> None:
    watched.app_state["runtime"].shed["overloaded"] += 3
    found = scrape(watched)
    assert value(found, "saddle_requests_shed_total", code="overloaded") == 3
    assert value(found, "saddle_requests_shed_total", code="rate_limited") == 0
    assert (value(found, "saddle_disk_free_bytes") or 0) > 0
    assert value(found, "saddle_broker_up") is None, "there is none"


def test_a_database_that_is_away_fails_no_scrape(
    watched: TestClient, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    scrape(watched)
    runtime = watched.app_state["runtime"]
    away = runtime.engine.url.set(port=1)
    from service.db.session import make_engine

    monkeypatch.setattr(runtime, "engine", make_engine(away.render_as_string(hide_password=False)))
    found = scrape(watched)
    assert value(found, "saddle_database_up") == 0
    assert value(found, "saddle_database_pool_in_use") == 0
    assert not [name for name, _ in found if name == "saddle_runs"]
    stranger = watched.get("/metrics", headers={"Authorization": f"Bearer key_{'0' * 26}.{'x' * 20}"})
    assert stranger.status_code == 503, "whose key nobody can look up"
    assert watched.get("/v1/runs").status_code == 503


def test_figures_are_kept_for_a_moment(
    watched: TestClient, monkeypatch: pytest.MonkeyPatch, submit_to: Callable[[TestClient], Any]
) -> None:
    monkeypatch.setattr(monitoring, "KEPT_S", 60.0)
    assert value(scrape(watched), "saddle_runs", pool="cpu", state="queued") is None
    submit_to(watched)
    assert value(scrape(watched), "saddle_runs", pool="cpu", state="queued") is None
    monkeypatch.setattr(monitoring, "KEPT_S", 0.0)
    assert value(scrape(watched), "saddle_runs", pool="cpu", state="queued") == 1


@pytest.fixture
def submit_to() -> Callable[[TestClient], Any]:
    return lambda client: client.post("/v1/experiments", json=SPEC).json()
