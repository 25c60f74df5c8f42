"""A run on several devices under a real supervisor and a real Postgres: a rank dies, and the curve is the same."""

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import text

from service.db.experiments import experiments
from service.db.metrics import read
from service.db.runs import runs
from service.db.session import transaction
from service.spec.experiment import Experiment
from tests.harness.waiting import until
from tests.worker.supervisor.desk import Desk, settings
from worker.supervisor.claim_loop import Supervisor

STEPS = 450
SPEC: dict[str, Any] = {
    "dataset": {"kind": "digits"},
    "model": {"kind": "mlp", "hidden": (16,), "norm": "batch", "dropout": 0.2},
    "loss": {"kind": "cross_entropy"},
    "optimizer": {"kind": "adamw", "lr": 1e-3},
    "batch_size": 32,
    "steps": STEPS,
    "checkpoint": {"every_steps": 100},
    "evaluate": {"every_steps": 150},
    "probes": (),
    "resources": {"devices": 2},
}


@pytest.fixture
def pair(module_url: str, tmp_path: Path, forked_trainers: None) -> Iterator[Supervisor]:
    """A slot with two devices."""
    slot = Supervisor(settings(module_url, tmp_path, "pair", devices="cpu+cpu", spares=0, stall_s=30.0))
    thread = threading.Thread(target=slot.run, name="pair")
    thread.start()
    yield slot
    slot.drain()
    thread.join()


def submit(desk: Desk) -> str:
    with transaction(desk.engine) as connection:
        experiment_id = experiments.add(connection, desk.principal, Experiment.model_validate(SPEC), "nobody").id
        (run,) = runs.of_experiments(connection, [experiment_id])
        connection.execute(text("UPDATE run SET pool = 'cpu' WHERE id = :id"), {"id": run.id})
    return run.id


def curves(desk: Desk, run_id: str) -> dict[str, read.Curve]:
    with transaction(desk.engine) as connection:
        return read.curves_of_run(connection, run_id, ["loss", "val/loss"])


def test_a_run_whose_rank_is_killed_resumes_to_the_curve_of_an_undisturbed_one(pair: Supervisor, desk: Desk) -> None:
    undisturbed = submit(desk)
    assert desk.stopped(undisturbed)["state"] == "succeeded"
    disturbed = submit(desk)
    desk.stepping(disturbed, 120)
    assert pair.trainers.active is not None
    trainer = pair.trainers.active.pid
    (other,) = Path(f"/proc/{trainer}/task/{trainer}/children").read_text().split()
    os.kill(int(other), signal.SIGKILL)
    until(lambda: desk.run(disturbed)["crash_count"] == 1, 10)
    assert desk.stopped(disturbed)["state"] == "succeeded"
    first, _ = desk.attempts(disturbed)
    assert first["detail"] == "rank 1 of 2: ended by signal SIGKILL"
    assert desk.evidence(disturbed)["rank"] == 1
    whole, resumed = curves(desk, undisturbed), curves(desk, disturbed)
    assert len(whole["loss"].values) == STEPS
    for name, curve in whole.items():
        assert np.array_equal(curve.steps, resumed[name].steps)
        assert np.array_equal(curve.values, resumed[name].values)
