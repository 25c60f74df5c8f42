"""A posted rate is held against runs of the same model on the same data."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from service.db.metrics.codec import pack
from service.experiments.rate_warnings import Tried, judge_rate, judge_slow
from service.lifecycle import State
from tests.fixtures.api import Worker

Submit = Callable[..., dict[str, Any]]
DIVERGED = [Tried(0.3, True), Tried(1.0, True)]


@pytest.mark.parametrize(
    ("rate", "tried", "warned"),
    [
        (1.0, DIVERGED, True),
        (1.0, [*DIVERGED, Tried(0.03, False)], True),
        (0.1, DIVERGED, False),  # lower than any of them
        (1.0, DIVERGED[:1], False),  # one may have been unlucky
        (1.0, [*DIVERGED, Tried(0.5, False)], False),  # the boundary is not so sharp
    ],
)
def test_a_rate_at_which_two_diverged_and_none_trained_is_warned_of(
    rate: float, tried: list[Tried], warned: bool
) -> None:
    assert [each.code for each in judge_rate("sgd", rate, tried)] == ["rate_diverged_before"] * warned


SLOW = [Tried(1e-4, False, 0.1), Tried(2e-4, False, 0.2)]
GOOD = Tried(0.03, False, 0.9)


@pytest.mark.parametrize(
    ("rate", "tried", "warned"),
    [
        (1e-4, [*SLOW, GOOD], True),
        (0.03, [*SLOW, GOOD], False),  # the rate that learned
        (1e-2, [*SLOW, GOOD], False),  # nobody was near it
        (1e-4, [SLOW[0], GOOD], False),  # one may have been unlucky
        (1e-4, SLOW, False),  # nobody learned more
        (1e-4, [*SLOW, Tried(1e-4, False, 0.5), GOOD], False),  # one near it did well
        (1e-4, [*SLOW, Tried(0.03, False)], False),  # of another length
        (1.0, [Tried(0.5, False, 0.1), Tried(2.0, False, -3.0), GOOD], True),  # far too high, without diverging
    ],
)
def test_a_rate_at_which_all_learned_far_less_than_another_is_warned_of(
    rate: float, tried: list[Tried], warned: bool
) -> None:
    assert [each.code for each in judge_slow("sgd", rate, 50, tried)] == ["rate_slow_before"] * warned


def test_a_dry_run_and_a_study_tell_where_runs_like_it_learned_far_less(
    client: TestClient, submit: Submit, worker: Worker
) -> None:
    steps = np.arange(1, 51)
    for rate, final in ((1e-4, 2.2), (2e-4, 2.1), (0.05, 0.2)):
        posted = submit(optimizer={"kind": "sgd", "lr": rate}, steps=50)
        series = {"loss": pack(steps, np.linspace(2.3, final, 50)), "lr": pack(steps, np.full(50, rate))}
        worker.finish(worker.claim(), series, State.SUCCEEDED)
    document = posted["spec"] | {"optimizer": {"kind": "sgd", "lr": 1.5e-4}}
    dry = client.post("/v1/experiments?dry_run=true", json=document).json()
    (warning,) = [each for each in dry["warnings"] if each["code"] == "rate_slow_before"]
    assert warning["pointer"] == "/optimizer/lr"
    assert "in 50 updates; one at 0.05 came" in warning["detail"]
    space = {"/batch_size": {"kind": "choice", "options": [16, 32]}}
    study = {"name": "sizes", "base": document, "space": space, "budget": {"trials": 2}}
    for query in ("?dry_run=true", ""):
        (warning,) = [
            each
            for each in client.post(f"/v1/studies{query}", json=study).json()["warnings"]
            if each["code"] == "rate_slow_before"
        ]
        assert warning["pointer"] == "/base/optimizer/lr"
    study["space"] = {"/optimizer/lr": {"kind": "log_uniform", "low": 1e-4, "high": 1.0}}
    assert "rate_slow_before" not in client.post("/v1/studies?dry_run=true", json=study).text


def test_a_dry_run_tells_where_runs_like_it_diverged(client: TestClient, submit: Submit, worker: Worker) -> None:
    steps = np.arange(1, 51)
    for rate in (0.5, 2.0):
        posted = submit(optimizer={"kind": "sgd", "lr": rate})
        losses = np.where(steps < 50, 1.05**steps, np.nan)
        series = {"loss": pack(steps, losses), "lr": pack(steps, np.full(50, rate))}
        worker.finish(worker.claim(), series, State.FAILED, {"code": "diverged", "detail": "nan", "step": 50})
    document = posted["spec"] | {"optimizer": {"kind": "sgd", "lr": 3.0}}
    answer = client.post("/v1/experiments?dry_run=true", json=document).json()
    (warning,) = [each for each in answer["warnings"] if each["code"] == "rate_diverged_before"]
    assert warning["pointer"] == "/optimizer/lr"
    assert "diverged at rates from 0.5 on" in warning["detail"]
    document["optimizer"] = {"kind": "adam", "lr": 3.0}
    assert "rate_diverged_before" not in client.post("/v1/experiments?dry_run=true", json=document).text
