"""Trainers and workers die, the broker is away: every step is still there, once, with the same value."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from .conftest import Curve, undisturbed

ROOT = Path(__file__).resolve().parents[2]
CHECKPOINTED = {"epochs": 40, "checkpoint": {"every_steps": 50}, "seeds": [3]}
TOTAL = 40 * 45


@pytest.fixture(scope="module")
def whole() -> tuple[list[int], list[float]]:
    """The curve of the spec when nothing goes wrong, computed here."""
    return undisturbed(CHECKPOINTED)


def test_a_killed_trainer_goes_on_from_its_checkpoint(
    own_stack: Callable[..., Any], spec: Callable[..., dict[str, Any]], trainer_of: Callable[..., int], whole: Curve
) -> None:
    stack = own_stack()
    stack.start_api()
    worker = stack.start_worker()
    run = stack.post("/v1/experiments", spec(name="killed", **CHECKPOINTED))["runs"][0]["id"]
    stack.reached(run, 120)
    os.kill(trainer_of(worker), signal.SIGKILL)
    done = stack.ended(run)
    assert (done["state"], done["attempt"]) == ("succeeded", 2)
    attempts = stack.get(f"/v1/runs/{run}/attempts")["items"]
    assert attempts[0]["ending"] == "trainer_died"
    assert attempts[1]["start_step"] >= 100
    assert stack.exact(run) == whole


def test_a_killed_worker_is_reaped_and_another_takes_over(
    own_stack: Callable[..., Any], spec: Callable[..., dict[str, Any]], trainer_of: Callable[..., int], whole: Curve
) -> None:
    stack = own_stack()
    stack.start_api()
    first = stack.start_worker("w1")
    run = stack.post("/v1/experiments", spec(name="orphaned", **CHECKPOINTED))["runs"][0]["id"]
    stack.reached(run, 120)
    trainer = trainer_of(first)
    first.kill()
    first.wait()
    stack.start_worker("w2")
    done = stack.ended(run)
    assert (done["state"], done["attempt"], done["worker"]) == ("succeeded", 2, "w2")
    assert stack.exact(run) == whole
    try:
        state = Path(f"/proc/{trainer}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        state = "gone"
    assert state in ("gone", "Z")


def test_a_restarted_worker_takes_its_own_run_back_at_once(
    own_stack: Callable[..., Any], spec: Callable[..., dict[str, Any]]
) -> None:
    stack = own_stack()
    stack.environment["SADDLE_LEASE_WINDOW_S"] = "600"
    stack.start_api()
    worker = stack.start_worker("w1")
    run = stack.post("/v1/experiments", spec(name="restarted", **CHECKPOINTED))["runs"][0]["id"]
    stack.reached(run, 120)
    worker.kill()
    worker.wait()
    stack.start_worker("w1")
    assert stack.ended(run)["attempt"] == 2
    assert stack.exact(run)[0] == list(range(1, TOTAL + 1))


def test_a_worker_told_to_stop_drains_and_no_step_is_done_twice(
    own_stack: Callable[..., Any], spec: Callable[..., dict[str, Any]], whole: Curve
) -> None:
    stack = own_stack()
    stack.start_api()
    worker = stack.start_worker("w1")
    run = stack.post("/v1/experiments", spec(name="drained", **CHECKPOINTED))["runs"][0]["id"]
    stack.reached(run, 120)
    assert stack.stop(worker) == 0
    waiting = stack.run(run)
    assert waiting["state"] == "queued"
    assert waiting["checkpoint_step"] == waiting["step"]
    stack.start_worker("w2")
    assert stack.ended(run)["state"] == "succeeded"
    first, second = stack.get(f"/v1/runs/{run}/attempts")["items"]
    assert (first["ending"], second["start_step"]) == ("drained", waiting["step"])
    assert stack.exact(run) == whole


EARLY = """
import os, signal, sys
from service.settings import settings
from worker import tasks

make_app = tasks.make_app

def told_to_stop(url):
    os.kill(os.getpid(), signal.SIGTERM)
    return make_app(url)

tasks.make_app = told_to_stop
sys.exit(tasks.serve(settings()))
"""


def test_a_worker_told_to_stop_before_celery_listens_ends(own_stack: Callable[..., Any]) -> None:
    stack = own_stack()
    worker = subprocess.Popen([sys.executable, "-c", EARLY], cwd=ROOT, env=stack.environment)
    stack.processes.append(worker)
    assert worker.wait(120) == 0


def test_without_a_broker_runs_still_happen(own_stack: Callable[..., Any], spec: Callable[..., dict[str, Any]]) -> None:
    stack = own_stack(broker=False)
    stack.environment["SADDLE_BROKER_URL"] = "redis+socket:///nowhere/valkey.sock"
    stack.start_api()
    worker = stack.start_worker()
    runs = [stack.post("/v1/experiments", spec(name="no broker", epochs=1))["runs"][0]["id"] for _ in range(3)]
    for run in runs:
        assert stack.ended(run)["state"] == "succeeded"
    assert stack.stop(worker) == 0


def test_a_database_that_restarts_loses_nothing(
    own_stack: Callable[..., Any], spec: Callable[..., dict[str, Any]], servers: Any, whole: Curve
) -> None:
    stack = own_stack()
    stack.start_api()
    stack.start_worker()
    run = stack.post("/v1/experiments", spec(name="restart", **CHECKPOINTED))["runs"][0]["id"]
    stack.reached(run, 120)
    servers[0].stop()
    time.sleep(1)
    servers[0].start()
    done = stack.ended(run)
    assert (done["state"], done["attempt"]) == ("succeeded", 1)
    assert stack.exact(run) == whole
