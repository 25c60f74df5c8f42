"""Diagnoses over HTTP: of a run that diverged, of one that has hardly begun, as JSON and as text."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from service.db.metrics.codec import Chunk, pack
from service.diagnosis.rules.registry import RULES
from service.lifecycle import State
from service.spec.parse.experiment import parse_experiment
from service.spec.parse.json_patch import apply_patch
from tests.fixtures.api import Worker, points

Submit = Callable[..., dict[str, Any]]


def climbing(last: int) -> dict[str, Chunk]:
    """Losses of a rate that is too high, with a NaN at the end."""
    steps = np.arange(1, last + 1)
    losses = 1.1 * 1.05**steps
    losses[-1] = np.nan
    return {"loss": pack(steps, losses), "lr": pack(steps, np.full(last, 0.1))}


def test_a_run_that_diverged_is_told_why_with_a_patch_that_can_be_posted(
    client: TestClient, submit: Submit, worker: Worker
) -> None:
    submitted = submit()
    held = worker.claim()
    failure = {"code": "diverged", "detail": "the loss is nan at step 200", "step": 200}
    worker.finish(held, climbing(200), State.FAILED, failure)
    told = client.get(f"/v1/runs/{held.run_id}/diagnosis").json()
    assert (told["run_id"], told["state"], told["complete"], told["level"]) == (held.run_id, "failed", True, "fault")
    first = told["findings"][0]
    assert (first["rule"], first["verdict"], first["level"]) == ("R1", "nonfinite:overflow", "fault")
    assert first["steps"][0] == 200
    assert first["evidence"][0]["series"] == "loss"
    assert "R6" in first["explains"]
    changed = apply_patch(submitted["spec"], first["patch"])
    assert parse_experiment(changed).spec.optimizer.lr == pytest.approx(0.01)
    states = {each["rule"]: each["state"] for each in told["checked"]}
    assert len(states) == len(RULES)
    assert states["R6"] == "suppressed"
    assert states["R13"] == "clear"  # a linear model has no unit that could die
    assert states["R4"] == "unknown"


def test_a_long_curve_is_judged_in_buckets_and_says_the_same(
    client: TestClient, submit: Submit, worker: Worker
) -> None:
    submit(steps=20_000)
    held = worker.claim()
    steps = np.arange(1, 20_001)
    losses = np.where(steps < 12_000, 1.0 / np.sqrt(steps), 5.0 + 1e-3 * (steps - 12_000))
    worker.finish(held, {"loss": pack(steps, losses), "lr": pack(steps, np.full(len(steps), 0.1))})
    told = client.get(f"/v1/runs/{held.run_id}/diagnosis").json()
    assert told["findings"][0]["verdict"] == "lr_above_stability"
    assert abs(told["findings"][0]["steps"][0] - 12_000) < 100


def test_a_run_that_has_hardly_begun_is_not_judged(client: TestClient, submit: Submit, worker: Worker) -> None:
    submit()
    held = worker.claim()
    worker.flush(held, points(1, 5))
    told = client.get(f"/v1/runs/{held.run_id}/diagnosis").json()
    assert (told["level"], told["findings"], told["complete"]) == ("unknown", [], False)
    assert "5 steps" in told["headline"]


def test_for_people_it_is_a_text(client: TestClient, submit: Submit, worker: Worker) -> None:
    submit()
    held = worker.claim()
    worker.finish(held, climbing(200), State.FAILED, {"code": "diverged", "detail": "nan", "step": 200})
    answer = client.get(f"/v1/runs/{held.run_id}/diagnosis", headers={"Accept": "text/plain"})
    assert answer.headers["content-type"].startswith("text/plain")
    assert answer.text.startswith("FAULT: ")
    assert "replace /optimizer/lr = 0.01" in answer.text
    assert max(map(len, answer.text.splitlines())) <= 100


def test_a_strangers_run_is_not_diagnosed(
    client: TestClient, submit: Submit, worker: Worker, stranger: dict[str, str]
) -> None:
    submit()
    held = worker.claim()
    assert client.get(f"/v1/runs/{held.run_id}/diagnosis", headers=stranger).status_code == 404


def test_every_rule_is_listed_with_its_thresholds_and_their_sources(shared: TestClient) -> None:
    told = shared.get("/v1/diagnosis/rules").json()
    assert [each["id"] for each in told["items"]] == [f"R{number}" for number in range(1, 37)]
    assert all(each["source"] for rule in told["items"] for each in rule["thresholds"])
    assert {each["key"] for each in told["shared"]} >= {"any.window_steps"}
