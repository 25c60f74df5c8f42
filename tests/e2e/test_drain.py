"""A worker that is told to stop, at any moment and however often, loses no step; one without Postgres waits."""

import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg

from .conftest import until

LONG = {"epochs": 4000, "seeds": [3], "checkpoint": {"every_steps": 100_000}}


def test_runs_survive_every_way_to_stop_a_worker_without_a_step_repeated(
    own_stack: Callable[..., Any], spec: Callable[..., dict[str, Any]]
) -> None:
    stack = own_stack()
    stack.start_api()
    run = stack.post("/v1/experiments", spec(name="stopped often", **LONG))["runs"][0]["id"]
    cuts: list[tuple[list[int], int]] = [
        ([signal.SIGTERM], 1),
        ([signal.SIGINT], 150),
        ([signal.SIGTERM, signal.SIGTERM, signal.SIGINT], 50),
    ]
    for name, (signals, further) in enumerate(cuts):
        worker = stack.start_worker(f"w{name}")
        stack.reached(run, stack.run(run)["step"] + further)
        began = time.monotonic()
        for number in signals:
            worker.send_signal(number)
            time.sleep(0.05)
        assert worker.wait(120) == 0
        assert time.monotonic() - began < 20  # 10 s and a checkpoint, on a machine that does other things too
        waiting = stack.run(run)
        assert (waiting["state"], waiting["step"]) == ("queued", waiting["checkpoint_step"])
    attempts = stack.get(f"/v1/runs/{run}/attempts")["items"]
    assert [attempt["ending"] for attempt in attempts] == ["drained"] * len(cuts)
    assert stack.exact(run)[0] == list(range(1, waiting["step"] + 1))


def test_an_idle_worker_stops_at_once_even_with_a_log_that_is_full(own_stack: Callable[..., Any]) -> None:
    stack = own_stack(broker=False)
    with Path("/dev/full").open("wb") as full:
        command = stack.start("worker", SADDLE_WORKER_NAME="w1").args
        quiet = subprocess.Popen(command, env=stack.environment | {"SADDLE_WORKER_NAME": "w2"}, stderr=full)
    stack.processes.append(quiet)
    with psycopg.connect(stack.environment["SADDLE_DATABASE_URL"].replace("+psycopg", ""), autocommit=True) as session:
        until(lambda: session.execute("SELECT count(*) FROM worker").fetchone() == (2,))  # they look for work
    idle = [process for process in stack.processes if "worker" in process.args]  # type: ignore[operator]
    assert [stack.stop(process, signal.SIGQUIT, 60) for process in idle] == [0, 0]


def test_a_worker_without_its_database_saves_stops_and_goes_on_later(
    own_stack: Callable[..., Any], spec: Callable[..., dict[str, Any]], servers: Any
) -> None:
    stack = own_stack()
    stack.environment |= {"SADDLE_FENCE_S": "1", "SADDLE_LEASE_WINDOW_S": "10"}
    stack.start_api()
    stack.start_worker()
    run = stack.post("/v1/experiments", spec(name="alone", **LONG))["runs"][0]["id"]
    stack.reached(run, 120)
    servers[0].stop()
    until(lambda: list(stack.home.glob("data/checkpoints/run_*/a1-*/step-*/state.json")))
    servers[0].start()
    stack.http.post(f"/v1/runs/{run}/cancel")
    done = stack.ended(run)
    first, *_ = stack.get(f"/v1/runs/{run}/attempts")["items"]
    assert first["ending"] == "drained"
    assert stack.exact(run)[0] == list(range(1, done["step"] + 1))
