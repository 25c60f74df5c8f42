"""A worker that is told to stop, at any moment and however often, loses no step; one without Postgres waits."""

import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.harness.product import Product
from tests.harness.waiting import until

LONG = {"epochs": 4000, "seeds": [3], "checkpoint": {"every_steps": 100_000}}


def test_runs_survive_every_way_to_stop_a_worker_without_a_step_repeated(
    own_stack: Product, spec: Callable[..., dict[str, Any]]
) -> None:
    own_stack.start_api()
    run = own_stack.post("/v1/experiments", spec(name="stopped often", **LONG))["runs"][0]["id"]
    cuts: list[tuple[list[int], int]] = [
        ([signal.SIGTERM], 1),
        ([signal.SIGINT], 150),
        ([signal.SIGTERM, signal.SIGTERM, signal.SIGINT], 50),
    ]
    for name, (signals, further) in enumerate(cuts):
        worker = own_stack.start_worker(f"w{name}")
        own_stack.wait_for_step(run, own_stack.run(run)["step"] + further)
        began = time.monotonic()
        for number in signals:
            worker.send_signal(number)
            time.sleep(0.05)
        assert worker.wait(120) == 0
        assert time.monotonic() - began < 20  # 10 s and a checkpoint, on a machine that does other things too
        waiting = own_stack.run(run)
        assert (waiting["state"], waiting["step"]) == ("queued", waiting["checkpoint_step"])
    attempts = own_stack.get(f"/v1/runs/{run}/attempts")["items"]
    assert [attempt["ending"] for attempt in attempts] == ["drained"] * len(cuts)
    assert own_stack.exact_series(run)[0] == list(range(1, waiting["step"] + 1))


def test_an_idle_worker_stops_at_once_even_with_a_log_that_is_full(own_stack: Product) -> None:
    with Path("/dev/full").open("wb") as full:
        command = own_stack.start("worker", SADDLE_WORKER_NAME="w1").args
        quiet = subprocess.Popen(command, env=own_stack.environment | {"SADDLE_WORKER_NAME": "w2"}, stderr=full)
    own_stack.processes.append(quiet)
    until(lambda: own_stack.sql("SELECT count(*) FROM worker") == [(2,)])  # they look for work
    idle = [process for process in own_stack.processes if "worker" in process.args]  # type: ignore[operator]
    assert [own_stack.stop(process, signal.SIGQUIT, 60) for process in idle] == [0, 0]


def test_a_worker_without_its_database_saves_stops_and_goes_on_later(
    own_stack: Product, spec: Callable[..., dict[str, Any]]
) -> None:
    own_stack.environment |= {"SADDLE_FENCE_S": "1", "SADDLE_LEASE_WINDOW_S": "10"}
    own_stack.start_api()
    own_stack.start_worker()
    run = own_stack.post("/v1/experiments", spec(name="alone", **LONG))["runs"][0]["id"]
    own_stack.wait_for_step(run, 120)
    own_stack.postgres.stop()
    until(lambda: list(own_stack.home.glob("data/checkpoints/run_*/a1-*/step-*/state.json")))
    own_stack.postgres.start()
    own_stack.http.post(f"/v1/runs/{run}/cancel")
    done = own_stack.wait_for_end(run)
    first, *_ = own_stack.get(f"/v1/runs/{run}/attempts")["items"]
    assert first["ending"] == "drained"
    assert own_stack.exact_series(run)[0] == list(range(1, done["step"] + 1))


def test_a_drained_worker_hands_its_run_over_and_rests_until_it_may_take_runs_again(
    own_stack: Product, spec: Callable[..., dict[str, Any]]
) -> None:
    own_stack.start_api()
    own_stack.sql("UPDATE account SET admin = true")
    run = own_stack.post("/v1/experiments", spec(name="handed over", **LONG))["runs"][0]["id"]

    def state(name: str) -> str:
        return {each["name"]: each["state"] for each in own_stack.get("/v1/admin/workers")["items"]}[name]

    own_stack.start_worker("w1")
    own_stack.wait_for_step(run, 50)
    own_stack.http.post("/v1/admin/workers/w1/drain").raise_for_status()
    until(lambda: state("w1") == "drained")
    waiting = own_stack.run(run)
    assert (waiting["state"], waiting["step"]) == ("queued", waiting["checkpoint_step"])
    own_stack.start_worker("w2")
    own_stack.wait_for_step(run, waiting["step"] + 50)
    own_stack.http.post("/v1/admin/workers/w2/drain").raise_for_status()
    until(lambda: state("w2") == "drained")
    own_stack.http.post("/v1/admin/workers/w1/undrain").raise_for_status()
    own_stack.wait_for_step(run, own_stack.run(run)["step"] + 50)
    until(lambda: state("w1") == "busy")
    assert state("w2") == "drained"
    own_stack.http.post(f"/v1/runs/{run}/cancel").raise_for_status()
    done = own_stack.wait_for_end(run)
    attempts = own_stack.get(f"/v1/runs/{run}/attempts")["items"]
    assert [(each["worker"], each["ending"]) for each in attempts[:2]] == [("w1", "drained"), ("w2", "drained")]
    assert own_stack.exact_series(run)[0] == list(range(1, done["step"] + 1))
