"""A posted rate is held against runs of the same model on the same data."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from service.db.metrics.codec import pack
from service.experiments.rate_warnings import Tried, judge_rate
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
