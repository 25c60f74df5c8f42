"""The queue as a member of a project sees it."""

from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.fixtures.api import SPEC, Worker

Submit = Callable[..., dict[str, Any]]


@pytest.mark.usefixtures("served")
def test_the_queue_shows_the_own_project_by_name_and_others_as_sums(
    client: TestClient, stranger: dict[str, str], submit: Submit, worker: Worker
) -> None:
    mine = submit(name="mine", seeds=[0, 1, 2])
    held = worker.claim()
    theirs = client.post("/v1/experiments", json=SPEC | {"name": "secret", "seeds": [0]}, headers=stranger).json()
    answer = client.get("/v1/queue")
    (pool,) = answer.json()["pools"]
    assert (answer.json()["project"], pool["pool"], pool["running"], pool["waiting"]) == ("default", "cpu", 1, 2)
    assert 0 < pool["use_s"] == pool["people"][0]["use_s"] < 60
    assert [(each["member"], each["running"], each["waiting"]) for each in pool["people"]] == [("ada", 1, 2)]
    others = pool["others"]
    assert (others["projects"], others["use_s"], others["running"], others["waiting"]) == (1, 0, 0, 1)
    waiting = [run["id"] for run in mine["runs"] if run["id"] != held.run_id]
    assert [(run["run_id"], run["experiment"], run["member"]) for run in pool["next"]] == [
        (run_id, "mine", "ada") for run_id in waiting
    ]
    first = [run["before"] for run in pool["next"]]
    assert first == [1, 2], "the other project has used nothing"
    assert [client.get(f"/v1/runs/{run_id}").json()["waiting"]["before"] for run_id in waiting] == first
    for told in ("secret", "elsewhere", "eve", theirs["id"], theirs["runs"][0]["id"]):
        assert told not in answer.text


def test_an_empty_queue_has_no_pools(client: TestClient) -> None:
    assert client.get("/v1/queue").json()["pools"] == []
