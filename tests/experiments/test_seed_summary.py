"""What restarts of one experiment came to, in the answer to it."""

from collections.abc import Callable
from typing import Any

import numpy as np
from fastapi.testclient import TestClient

from service.db.metrics.codec import pack
from service.lifecycle import State
from tests.fixtures.api import Worker

Submit = Callable[..., dict[str, Any]]


def test_the_seeds_are_summed_up_once_two_have_ended(client: TestClient, submit: Submit, worker: Worker) -> None:
    posted = submit(restarts=4, seeds=[0, 1, 2, 3], steps=10)
    path = f"/v1/experiments/{posted['id']}"
    answers = []
    for value in (0.4, 0.1, None, 0.2):
        held = worker.claim()
        steps = np.arange(1, 11)
        chunks = {"loss": pack(steps, np.linspace(1.0, value or 9.0, 10)), "val/loss": pack([10], [value or 9.0])}
        if value is None:
            worker.finish(held, chunks, State.FAILED, {"code": "diverged", "detail": "", "step": 10})
        else:
            worker.finish(held, chunks)
        answers.append(client.get(path).json())
    assert answers[0]["restarts"] is None
    found = answers[-1]["restarts"]
    by_seed = {each["seed"]: each["value"] for each in found["values"]}
    assert sorted(value for value in by_seed.values() if value is not None) == [0.1, 0.2, 0.4]
    assert list(by_seed.values()).count(None) == 1
    assert (found["series"], found["n"], found["diverged"], found["incomplete"]) == ("val/loss", 3, 1, 0)
    assert (found["best"], found["median"]) == (0.1, 0.2)
    assert np.allclose(found["quartiles"], (0.15, 0.3))
    assert np.allclose(found["expected_best"], (0.7 / 3, 0.4 / 3, 0.1))
