"""What is laid beside a run's curves: the planned rate, superseded attempts; and how long a training will take."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from sqlalchemy import text

from service.db.metrics.codec import pack
from service.db.runs import reaper
from service.db.session import transaction
from tests.fixtures.api import SPEC, Worker, points

Submit = Callable[..., dict[str, Any]]


def rates(first: int, last: int, spec: dict[str, Any], late: int = 0) -> dict[str, Any]:
    """What a linear decay to 0 applies; `late` steps behind the plan."""
    steps = np.arange(first, last + 1)
    return {"loss": pack(steps, 1.0 / steps), "lr": pack(steps, 0.1 * (1 - (steps - 1 - late) / spec["steps"]))}


@pytest.mark.parametrize(("late", "deviates"), [(0, False), (1, True)])
def test_the_planned_rate_is_laid_beside_the_applied_one_and_a_step_too_late_is_seen(
    client: TestClient, submit: Submit, worker: Worker, late: int, deviates: bool
) -> None:
    run = submit(schedule={"kind": "linear", "start_factor": 1.0, "end_factor": 0.0, "total_iters": 1000})["runs"][0]
    empty = client.get(f"/v1/runs/{run['id']}/planned").json()
    assert (empty["deviates"], empty["checked"], empty["watches"]) == (None, [], "")
    held = worker.claim()
    worker.flush(held, rates(1, 500, SPEC, late))
    planned = client.get(f"/v1/runs/{run['id']}/planned", params={"points": 11}).json()
    assert (planned["steps"][0], planned["steps"][-1], len(planned["steps"])) == (1, 1000, 11)
    assert planned["rates"][0] == 0.1
    assert planned["rates"] == sorted(planned["rates"], reverse=True)
    assert [each["step"] for each in planned["checked"]] == [1, 500]
    assert planned["deviates"] is deviates


def test_a_rate_that_depends_on_what_is_measured_is_not_called_wrong(
    client: TestClient, submit: Submit, worker: Worker
) -> None:
    run = submit(schedule={"kind": "plateau", "watch": "val/loss"})["runs"][0]
    worker.flush(worker.claim(), {"lr": pack([1, 2], [0.1, 0.01])})
    planned = client.get(f"/v1/runs/{run['id']}/planned").json()
    assert (planned["watches"], planned["deviates"]) == ("val/loss", None)


def test_what_a_lost_attempt_had_computed_is_told_apart_from_the_curve(
    client: TestClient, submit: Submit, worker: Worker, stranger: dict[str, str]
) -> None:
    run = submit()["runs"][0]["id"]
    held = worker.claim()
    worker.save(held, 100, points(1, 100))
    worker.flush(held, points(101, 400))
    assert client.get(f"/v1/runs/{run}/superseded").json() == {"items": []}
    with transaction(worker.engine) as connection:
        (beat,) = reaper.beats(connection)
        reaper.reap(connection, beat)
    worker.flush(worker.claim(), points(101, 150, scale=2.0))
    (ghost,) = client.get(f"/v1/runs/{run}/superseded", params={"names": "loss", "points": 10}).json()["items"]
    assert (ghost["name"], ghost["attempt"]) == ("loss", held.attempt)
    assert (ghost["step"][-1], len(ghost["step"]) <= 10) == (400, True)
    assert ghost["step"][0] > 100
    assert all(1 / 400 <= value <= 1 / 101 for value in ghost["value"])
    assert client.get(f"/v1/runs/{run}/superseded", headers=stranger).status_code == 404


def test_a_dry_run_tells_how_long_from_runs_of_the_same_kind_or_that_nobody_knows(
    client: TestClient, submit: Submit, worker: Worker
) -> None:
    def duration(**changes: Any) -> Any:
        return client.post("/v1/experiments?dry_run=true", json=SPEC | changes).json()["duration"]

    assert duration() is None
    submit(seeds=[0, 1])
    for spent in (2.0, 4.0):
        held = worker.claim()
        worker.finish(held, points(1, 1000))
        with transaction(worker.engine) as connection:
            connection.execute(text("UPDATE run SET trained_s = :s WHERE id = :id"), {"s": spent, "id": held.run_id})
    found = duration(steps=500, optimizer={"kind": "adam"})
    assert (found["seconds"], found["runs"]) == (pytest.approx(1.5), 2)
    assert 1.0 <= found["low"] < found["seconds"] < found["high"] <= 2.0
    assert duration(batch_size=7) is None
