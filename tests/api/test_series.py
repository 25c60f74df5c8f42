"""A run's curves over HTTP: exact while they fit, then buckets that hide nothing."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from service.db.chunks import pack

from .conftest import Worker, points

Submit = Callable[..., dict[str, Any]]


@pytest.fixture
def trained(client: TestClient, submit: Submit, worker: Worker) -> str:
    """A run of 1,000 steps with a spike, a NaN and an infinity."""
    submit()
    held = worker.claim()
    steps = np.arange(1, 1001)
    loss = 1 / steps
    loss[[499, 599, 699]] = 1e6, math.nan, -math.inf
    every = np.arange(4, 1001, 4)
    worker.finish(held, {"loss": pack(steps, loss), "val/loss": pack(every, 2.0 / every)})
    return held.run_id


def test_a_series_that_fits_is_exact_with_nan_and_infinity_as_texts(client: TestClient, trained: str) -> None:
    answer = client.get(f"/v1/runs/{trained}/series?names=loss").json()
    loss = answer["series"]["loss"]
    assert answer["reduction"] == {"method": "none", "bucket_steps": 1, "points": 1000}
    assert loss["step"] == list(range(1, 1001))
    assert loss["value"][:2] == [1.0, 0.5]
    assert (loss["value"][599], loss["value"][699]) == ("NaN", "-Infinity")
    assert set(loss) == {"step", "value"}


def test_a_reduced_series_keeps_its_spike_and_counts_what_is_not_finite(client: TestClient, trained: str) -> None:
    answer = client.get(f"/v1/runs/{trained}/series?names=loss&points=20").json()
    loss = answer["series"]["loss"]
    assert answer["reduction"]["method"] == "buckets"
    assert answer["reduction"]["bucket_steps"] == 64
    assert answer["reduction"]["points"] == len(loss["mean"]) <= 20
    assert max(loss["max"]) == 1e6
    assert sum(loss["nonfinite"]) == 2
    assert sum(loss["count"]) == 1000
    assert loss["last_step"][-1] == 1000


def test_buckets_stay_where_they_are_while_points_are_added(client: TestClient, submit: Submit, worker: Worker) -> None:
    submit(steps=5000)
    held = worker.claim()
    path = f"/v1/runs/{held.run_id}/series?names=loss&points=100"
    worker.flush(held, points(1, 4000))
    before = client.get(path).json()["series"]["loss"]
    worker.flush(held, points(4001, 4200))
    after = client.get(path).json()["series"]["loss"]
    complete = len(before["mean"]) - 1
    assert {name: column[:complete] for name, column in before.items()} == {
        name: column[:complete] for name, column in after.items()
    }


def test_all_gives_the_exact_series_whatever_its_length(client: TestClient, submit: Submit, worker: Worker) -> None:
    submit(steps=20_000)
    held = worker.claim()
    worker.flush(held, points(1, 20_000))
    answer = client.get(f"/v1/runs/{held.run_id}/series?names=loss&points=all").json()
    assert answer["series"]["loss"]["step"] == list(range(1, 20_001))


def test_a_window_holds_both_its_ends(client: TestClient, trained: str) -> None:
    answer = client.get(f"/v1/runs/{trained}/series?names=loss&from=10&to=12").json()
    assert answer["series"]["loss"]["step"] == [10, 11, 12]


def test_epochs_count_from_the_spec(client: TestClient, trained: str) -> None:
    answer = client.get(f"/v1/runs/{trained}/series?names=val/loss&x=epoch&from=2&to=3").json()
    assert answer["series"]["val/loss"]["step"] == [8, 12]
    assert answer["series"]["val/loss"]["epoch"] == [2.0, 3.0]


def test_without_names_every_series_is_sent(client: TestClient, trained: str) -> None:
    assert set(client.get(f"/v1/runs/{trained}/series").json()["series"]) == {"loss", "val/loss"}


def test_an_unknown_series_is_not_found_and_the_known_ones_are_named(client: TestClient, trained: str) -> None:
    answer = client.get(f"/v1/runs/{trained}/series?names=loss,los")
    assert answer.status_code == 404
    assert "val/loss" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("query", "pointer", "limit"),
    [
        ("points=10001", "/query/points", {"le": 10_000}),
        ("points=0", "/query/points", {"ge": 1}),
        ("points=few", "/query/points", None),
        ("from=3&to=2", "/query/from", None),
        ("from=-1", "/query/from", {"ge": 0.0}),
        ("to=nan", "/query/to", None),
        ("x=hour", "/query/x", None),
        ("points=5&points=6", "/query/points", None),
        ("pionts=5", "/query/pionts", None),
    ],
)
def test_a_wrong_parameter_is_named_with_its_range(
    client: TestClient, trained: str, query: str, pointer: str, limit: object
) -> None:
    answer = client.get(f"/v1/runs/{trained}/series?{query}")
    (error,) = answer.json()["errors"]
    assert (answer.status_code, error["pointer"]) == (422, pointer)
    if limit:
        assert error["limit"] == limit
