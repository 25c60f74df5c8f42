"""What probes found, over HTTP: in pages, by kind, as messages of the stream, and gone with the experiment."""

from collections.abc import Callable
from typing import Any

from fastapi.testclient import TestClient
from sqlalchemy import Engine

from service.db.runs import leases
from service.db.runs.claims import Claim
from service.db.session import transaction
from tests.fixtures.api import Worker, points

Submit = Callable[..., dict[str, Any]]


def look(engine: Engine, held: Claim, step: int, kind: str, data: dict[str, Any]) -> None:
    with transaction(engine) as connection:
        leases.save_reading(connection, held, step, kind, data, points(1, step) if step == 5 else {})


def test_readings_are_listed_by_kind_and_in_pages(
    client: TestClient, submit: Submit, worker: Worker, engine: Engine, stranger: dict[str, str]
) -> None:
    submit()
    held = worker.claim()
    path = f"/v1/runs/{held.run_id}/readings"
    assert client.get(path).json() == {"items": [], "next_cursor": None}
    look(engine, held, 0, "start", {"initial_loss": float("inf")})
    look(engine, held, 5, "sharpness", {"value": 4.0})
    look(engine, held, 7, "sharpness", {"value": 5.0})
    first = client.get(path, params={"limit": 2})
    assert [(each["step"], each["kind"]) for each in first.json()["items"]] == [(0, "start"), (5, "sharpness")]
    assert first.json()["items"][0]["data"] == {"initial_loss": "Infinity"}
    rest = client.get(first.links["next"]["url"]).json()
    assert [each["data"] for each in rest["items"]] == [{"value": 5.0}]
    assert rest["next_cursor"] is None
    sharp = client.get(path, params={"kind": "sharpness"}).json()["items"]
    assert [each["step"] for each in sharp] == [5, 7]
    assert client.get(path, headers=stranger).status_code == 404


def test_a_reading_is_told_in_the_stream_behind_the_points_up_to_it(
    client: TestClient, submit: Submit, worker: Worker, engine: Engine
) -> None:
    submit()
    held = worker.claim()
    look(engine, held, 5, "sharpness", {"value": 4.0})
    worker.finish(held)
    text = client.get(f"/v1/runs/{held.run_id}/events").text
    assert '"kind": "sharpness", "step": 5' in text.split("event: reading")[1].split("\n\n")[0]
    assert '"value": 4.0' not in text
    assert "event: points" in text
