"""The most similar run that went well: chosen by what differs, among runs of the same project and data."""

from collections.abc import Callable
from typing import Any

import numpy as np
from fastapi.testclient import TestClient

from service.db.metrics.codec import pack
from service.diagnosis.neighbours import Candidate, nearest
from service.lifecycle import State
from service.spec.parse.json_patch import apply_patch
from tests.fixtures.api import Worker

from .drawn_runs import LN10, drawn, flat, reading, spec_of

Submit = Callable[..., dict[str, Any]]
START = reading("start", 0, trivial_loss=LN10, initial_loss=LN10)


def candidate(name: str, value: float, /, **changes: Any) -> Candidate:
    return Candidate(f"run of {name}", name, name, spec_of(**changes).normalised(), value)


def test_the_nearest_is_the_one_with_the_fewest_differences() -> None:
    record = drawn(flat(2.2), readings=START)
    far = candidate("far", 0.1, optimizer={"kind": "adam", "lr": 0.001}, batch_size=64)
    near = candidate("near", 0.3, optimizer={"kind": "sgd", "lr": 0.5}, name="other", seeds=[3])
    found = nearest(record, [far, near])
    assert found is not None
    assert (found.run_id, found.patch) == ("run of near", ({"op": "replace", "path": "/optimizer/lr", "value": 0.5},))
    assert nearest(record, [far]) is not None


def test_another_kind_of_part_is_one_difference_and_the_patch_leads_there() -> None:
    record = drawn(flat(2.2), readings=START)
    other = candidate("other", 0.2, optimizer={"kind": "adamw", "lr": 0.001}, schedule={"kind": "cosine"})
    found = nearest(record, [other])
    assert found is not None
    assert [each["path"] for each in found.patch] == ["/optimizer", "/schedule"]
    assert apply_patch(record.plan.document, found.patch)["optimizer"] == other.document["optimizer"]


def test_what_learned_hardly_more_diverged_or_is_the_same_is_no_neighbour() -> None:
    record = drawn(flat(1.0), readings=START)
    rate = {"optimizer": {"kind": "sgd", "lr": 0.5}}
    assert nearest(record, [candidate("hardly", 0.9, **rate), candidate("diverged", float("nan"), **rate)]) is None
    assert nearest(record, [candidate("same", 0.1)]) is None


def test_a_diagnosis_names_the_neighbour_with_what_differs(
    client: TestClient, submit: Submit, worker: Worker, stranger: dict[str, str]
) -> None:
    good = submit(optimizer={"kind": "sgd", "lr": 0.01})
    steps = np.arange(1, 201)
    worker.finish(worker.claim(), {"loss": pack(steps, 1 / steps), "lr": pack(steps, np.full(200, 0.01))})
    bad = submit(optimizer={"kind": "sgd", "lr": 0.3})
    losses = np.where(steps < 200, 1.05**steps, np.nan)
    failure = {"code": "diverged", "detail": "nan", "step": 200}
    worker.finish(
        worker.claim(), {"loss": pack(steps, losses), "lr": pack(steps, losses * 0 + 0.3)}, State.FAILED, failure
    )
    run = bad["runs"][0]["id"]
    told = client.get(f"/v1/runs/{run}/diagnosis").json()["neighbour"]
    assert (told["run_id"], told["own"]) == (good["runs"][0]["id"], None)
    assert told["patch"] == [{"op": "replace", "path": "/optimizer/lr", "value": 0.01}]
    text = client.get(f"/v1/runs/{run}/diagnosis", headers={"Accept": "text/plain"}).text
    assert "replace /optimizer/lr = 0.01" in text.partition("Similar, and it went well")[2]
    assert client.get(f"/v1/runs/{good['runs'][0]['id']}/diagnosis").json()["neighbour"] is None
