"""Packs as users meet them: seeds, a sweep and a study train together unasked, and each run says how it was trained."""

from collections.abc import Callable
from typing import Any

import numpy as np

from tests.harness.product import Product
from tests.harness.waiting import until

PLAIN: dict[str, Any] = {"precision": "fp64", "diagnose": "never", "epochs": None, "steps": 300, "probes": []}


def shared(stack: Product, run_id: str) -> int:
    """How many runs its last attempt was trained with, itself included."""
    query = "SELECT pack_runs FROM attempt WHERE run_id = %s ORDER BY attempt DESC LIMIT 1"
    return int(stack.sql(query, run_id)[0][0])


def run_ids(posted: Any) -> list[str]:
    return [run["id"] for run in posted["runs"]]


def test_seeds_and_a_sweep_train_together_and_as_if_alone(
    own_stack: Product, spec: Callable[..., dict[str, Any]]
) -> None:
    own_stack.start_api()
    optimizer = {"kind": "sgd", "momentum": 0.9}
    seeds = own_stack.post("/v1/experiments", spec(**PLAIN, optimizer=optimizer | {"lr": 0.05}, restarts=5))
    rates = [
        own_stack.post("/v1/experiments", spec(**PLAIN, optimizer=optimizer | {"lr": rate}))
        for rate in (0.001, 0.01, 0.1)
    ]
    alone = own_stack.post("/v1/experiments", spec(**PLAIN, optimizer=optimizer | {"lr": 0.1}, pack="never"))
    assert [each["derived"]["alone"] for each in (seeds, *rates, alone)] == [None] * 4 + ["pack is never."]
    own_stack.start_worker(SADDLE_PACK_RUNS="16", SADDLE_SPARES="0")
    together = [*run_ids(seeds), *(run for each in rates for run in run_ids(each))]
    for run in [*together, *run_ids(alone)]:
        assert own_stack.wait_for_end(run, 180)["state"] == "succeeded"
        assert own_stack.exact_series(run)[0] == list(range(1, 301))
    assert [shared(own_stack, run) for run in together] == [8] * 8
    assert [shared(own_stack, run) for run in run_ids(alone)] == [1]
    packed, single = (own_stack.exact_series(run)[1] for run in (*run_ids(rates[2]), *run_ids(alone)))
    assert np.allclose(packed, single, rtol=1e-9)


def test_the_trials_of_a_study_train_together(own_stack: Product, spec: Callable[..., dict[str, Any]]) -> None:
    own_stack.start_api()
    study = {
        "name": "rates",
        "base": spec(**PLAIN),
        "space": {"/optimizer/lr": {"kind": "log_uniform", "low": 0.01, "high": 0.5}},
        "sampler": "sobol",
        "budget": {"trials": 6},
        "parallel": 6,
    }
    own_stack.post("/v1/studies", study)
    until(lambda: own_stack.sql("SELECT count(*) FROM run")[0][0] == 6)
    own_stack.start_worker(SADDLE_PACK_RUNS="16", SADDLE_SPARES="0")
    until(lambda: own_stack.sql("SELECT count(*) FROM run WHERE state = 'succeeded'")[0][0] == 6, 180)
    assert own_stack.sql("SELECT DISTINCT pack_runs FROM attempt") == [(6,)]
