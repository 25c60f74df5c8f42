"""Replays over HTTP: identical, or the first step that differs and the likely cause."""

from collections.abc import Callable
from typing import Any

import numpy as np
from fastapi.testclient import TestClient
from sqlalchemy import text

from service.db.metrics.codec import pack
from service.db.runs import leases
from service.db.session import transaction
from tests.fixtures.api import Worker, points

Submit = Callable[..., dict[str, Any]]


def trained(worker: Worker, chunks: Any, threads: int = 1) -> str:
    """Claim the next run, write its points and what it ran on, and finish it."""
    held = worker.claim()
    with transaction(worker.engine) as connection:
        leases.flush(connection, held, {}, {"threads": threads, "torch": "2.13.0"})
    worker.finish(held, chunks)
    return held.run_id


def replayed(client: TestClient, worker: Worker, run: str, chunks: Any, threads: int = 1) -> Any:
    assert client.post(f"/v1/runs/{run}/replay", json={"steps": 40}).status_code == 201
    trained(worker, chunks, threads)
    return client.get(f"/v1/runs/{run}/replays").json()["items"][-1]


def forget_points(worker: Worker) -> None:
    """Remove every stored point, so that only stored judgements can still tell."""
    with transaction(worker.engine) as connection:
        for table in ("metric_chunk", "metric_tile"):
            connection.execute(text(f"DELETE FROM {table}"))


def test_a_replay_is_identical_or_says_where_not_and_why(client: TestClient, submit: Submit, worker: Worker) -> None:
    submit()
    run = trained(worker, points(1, 1000))
    assert client.get(f"/v1/runs/{run}/replays").json() == {"items": []}
    same = replayed(client, worker, run, points(1, 40))
    assert (same["identical"], same["compared_steps"], same["complete"]) == (True, 40, True)
    assert (same["first_difference"], same["cause"]) == (None, None)
    assert same["run"]["relation"] == "replay"
    steps = np.arange(1, 41)
    values = 1.0 / steps
    values[24:] = np.nextafter(values[24:], 2)
    other = {"loss": pack(steps, values), "lr": pack(steps, np.full(40, 0.1))}
    differs = replayed(client, worker, run, other, threads=2)
    assert differs["first_difference"] == {"series": "loss", "step": 25, "was": 0.04, "now": values[24]}
    assert differs["cause"].startswith("threads was 1 and is 2")
    finished = client.get(f"/v1/runs/{run}/replays").json()["items"]
    forget_points(worker)
    assert client.get(f"/v1/runs/{run}/replays").json()["items"] == finished, "the second look reads no points"
    assert client.post(f"/v1/runs/{run}/replay", json={"steps": 7}).status_code == 201
    waiting = client.get(f"/v1/runs/{run}/replays").json()["items"][-1]
    assert (waiting["identical"], waiting["complete"]) == (None, False)


def test_a_strangers_replays_are_not_to_be_seen(
    client: TestClient, submit: Submit, worker: Worker, stranger: dict[str, str]
) -> None:
    submit()
    run = trained(worker, points(1, 10))
    assert client.get(f"/v1/runs/{run}/replays", headers=stranger).status_code == 404
