"""The rows of a split that only a worker can make, as it reported them."""

from collections.abc import Callable
from typing import Any

import numpy as np
from fastapi.testclient import TestClient

from service.db.runs import leases
from service.db.session import transaction
from service.ingest.splits.part_codes import encode_parts
from tests.fixtures.api import Worker, points

Submit = Callable[..., dict[str, Any]]
PARTS = {"train": [0, 2, 3, 6], "validation": [1, 5], "test": [4]}


def report(worker: Worker, step: int = 0) -> str:
    """Claim a run and report its split."""
    held = worker.claim()
    parts = [np.array(rows) for rows in PARTS.values()]
    data = {"rows": 8, "parts": encode_parts(8, parts)}
    with transaction(worker.engine) as connection:
        leases.save_reading(connection, held, step, "split", data, {})
    worker.save(held, 10, points(1, 10))
    return held.run_id


def test_the_split_of_bundled_data_is_listed_once_a_worker_has_reported_it(
    client: TestClient, submit: Submit, worker: Worker, stranger: dict[str, str]
) -> None:
    run = submit(dataset={"kind": "iris"})["runs"][0]["id"]
    early = client.get(f"/v1/runs/{run}/split")
    assert (early.status_code, "reports it at the first step" in early.json()["detail"]) == (409, True)
    assert report(worker) == run
    found = client.get(f"/v1/runs/{run}/split").json()
    assert {name: found[name] for name in PARTS} == PARTS
    assert (found["fold"], found["files"], found["names"]) == (None, None, None)
    assert client.get(f"/v1/runs/{run}/split", headers=stranger).status_code == 404


def test_a_job_of_a_run_has_its_rows(client: TestClient, submit: Submit, worker: Worker) -> None:
    submit(dataset={"kind": "iris"})
    run = report(worker)
    probe = client.post(f"/v1/runs/{run}/probes", json={"probes": [{"kind": "sharpness"}]})
    assert probe.status_code == 201, probe.text
    assert client.get(f"/v1/runs/{probe.json()['id']}/split").json()["validation"] == PARTS["validation"]
