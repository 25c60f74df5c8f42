"""Trainers, workers and the database go away, the broker is absent: each step is still there, once, with its value."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.harness.product import ROOT, Process, Product
from tests.harness.waiting import until

from .reference import train_undisturbed

LONG = {"epochs": 80, "checkpoint": {"every_steps": 50}, "seeds": [3]}


def test_a_run_outlives_its_trainer_its_worker_and_its_database_and_repeats_no_drained_step(
    own_stack: Product, spec: Callable[..., dict[str, Any]], trainer_of: Callable[[Process], int]
) -> None:
    own_stack.start_api()
    worker = own_stack.start_worker("w1")
    run = own_stack.post("/v1/experiments", spec(name="disturbed", **LONG))["runs"][0]["id"]

    own_stack.wait_for_step(run, 120)
    os.kill(trainer_of(worker), signal.SIGKILL)
    until(lambda: own_stack.run(run)["attempt"] == 2)
    own_stack.wait_for_step(run, own_stack.run(run)["step"] + 60)

    assert own_stack.stop(worker) == 0
    drained = own_stack.run(run)
    assert (drained["state"], drained["checkpoint_step"]) == ("queued", drained["step"])
    worker = own_stack.start_worker("w2")
    own_stack.wait_for_step(run, drained["step"] + 60)

    trainer = trainer_of(worker)
    own_stack.stop(worker, signal.SIGKILL)
    own_stack.start_worker("w3")
    until(lambda: own_stack.run(run)["attempt"] == 4)
    assert state_of(trainer) in ("gone", "Z")

    own_stack.postgres.stop()
    time.sleep(1)
    own_stack.postgres.start()
    until(own_stack.is_ready)

    done = own_stack.wait_for_end(run)
    assert (done["state"], done["attempt"], done["worker"]) == ("succeeded", 4, "w3")
    first, second, third, fourth = own_stack.get(f"/v1/runs/{run}/attempts")["items"]
    endings = [each["ending"] for each in (first, second, third, fourth)]
    assert endings == ["trainer_died", "drained", "lost", "succeeded"]
    assert second["start_step"] >= 100
    assert third["start_step"] == drained["step"]
    assert fourth["start_step"] >= drained["step"]
    assert own_stack.exact_series(run) == train_undisturbed(LONG)


def state_of(pid: int) -> str:
    """The letter of its state in /proc."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return "gone"


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


def test_a_worker_told_to_stop_before_celery_listens_ends(own_stack: Product) -> None:
    worker = subprocess.Popen([sys.executable, "-c", EARLY], cwd=ROOT, env=own_stack.environment)
    own_stack.processes.append(worker)
    assert worker.wait(120) == 0


def test_without_a_broker_runs_still_happen(own_stack: Product, spec: Callable[..., dict[str, Any]]) -> None:
    own_stack.environment["SADDLE_BROKER_URL"] = "redis+socket:///nowhere/valkey.sock"
    own_stack.start_api()
    worker = own_stack.start_worker()
    runs = [own_stack.post("/v1/experiments", spec(name="no broker", epochs=1))["runs"][0]["id"] for _ in range(3)]
    for run in runs:
        assert own_stack.wait_for_end(run)["state"] == "succeeded"
    assert own_stack.stop(worker) == 0
