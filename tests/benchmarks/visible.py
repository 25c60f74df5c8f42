"""How long after a step another connection can read it, and what that costs: `python -m tests.benchmarks.visible`.

The trainer is given a clock: a `sitecustomize` beside it writes down when each step was recorded. A reader looks every
few milliseconds how far the stored run is; a step's delay ends at the first look that shows it. What recording costs is
the processor time of the supervisor and of Postgres while the run trains, the looks of the reader left out.
"""

import statistics
import struct
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import text

from tests.harness.product import ROOT, Product, product
from tests.harness.waiting import until

SPEC: dict[str, Any] = {
    "dataset": {"kind": "digits"},
    "model": {"kind": "mlp", "hidden": [128]},
    "loss": {"kind": "cross_entropy"},
    "optimizer": {"kind": "sgd", "lr": 0.01},
    "batch_size": 64,
    "steps": 20_000,
    "evaluate": {"every_steps": 10_000},
}
CLOCK = """
import os, struct, sys, time
if "worker.trainer" in sys.orig_argv:
    import worker.trainer.recorder as recorder
    out = os.open({path!r}, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for kind in recorder.Recorder.__subclasses__():
        def record(self, step, real=kind.record):
            real(self, step)
            os.write(out, struct.pack("<qd", step.step, time.time()))
        kind.record = record
"""
RECORD = struct.Struct("<qd")


def processor_s(pids: list[int]) -> float:
    """Seconds that these processes have worked."""
    spent = 0
    for pid in pids:
        for task in Path(f"/proc/{pid}/task").glob("*/schedstat"):
            spent += int(task.read_text().split()[0])
    return spent / 1e9


def backends(at: Product, name: str) -> list[int]:
    """Postgres's processes for connections of this name."""
    with at.engine.connect() as connection:
        query = text("SELECT pid FROM pg_stat_activity WHERE application_name LIKE :name")
        return list(connection.execute(query, {"name": f"{name}%"}).scalars())


def looked(at: Product, run: dict[str, str]) -> list[tuple[int, float]]:
    """(step, time) of each look at which the run was further than before, until it has ended."""
    seen: list[tuple[int, float]] = []
    query = text("SELECT step, state IN ('queued', 'running') FROM run WHERE id = :id")
    with at.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        alive = True
        while alive:
            step, alive = connection.execute(query, run).one()
            if step > (seen[-1][0] if seen else 0):
                seen.append((step, time.time()))
            time.sleep(0.004)
    return seen


def main() -> None:
    """Print delays and shares of a core."""
    with tempfile.TemporaryDirectory() as name:
        log = Path(name) / "steps"
        (Path(name) / "sitecustomize.py").write_text(CLOCK.format(path=str(log)))
        with product(PYTHONPATH=f"{name}:{ROOT}") as at:
            until(lambda: at.http.get("/v1/workers").json()["items"])
            posted = at.http.post("/v1/experiments", json=SPEC)
            run = {"id": posted.json()["runs"][0]["id"]}
            until(log.exists)
            supervisor = [at.processes[-1].pid]
            postgres = backends(at, "saddle-worker")
            began, before = time.time(), (processor_s(supervisor), processor_s(postgres))
            seen = looked(at, run)
            wall = time.time() - began
            spent = [processor_s(supervisor) - before[0], processor_s(postgres) - before[1]]
        made = dict(RECORD.iter_unpack(log.read_bytes()))
    steps = np.array(sorted(made))
    clock = np.array([made[step] for step in steps.tolist()])
    shown = np.array([at for _, at in seen])[np.searchsorted([step for step, _ in seen], steps)]
    delays = np.sort(shown - clock) * 1e3
    rate = len(steps) / (clock[-1] - clock[0])
    print(
        f"{len(steps)} steps at {rate:.0f} a second, {len(seen)} flushes seen: step to visible median "
        f"{statistics.median(delays.tolist()):.0f} ms, p99 {delays[int(0.99 * len(delays))]:.0f}, most {delays[-1]:.0f}"
    )
    for who, seconds in zip(("supervisor", "Postgres for it"), spent, strict=True):
        print(f"{who}: {100 * seconds / wall:.2f} % of a core")


if __name__ == "__main__":
    sys.exit(main())
