"""What a claim costs while many runs wait: `python -m tests.benchmarks.claim`.

A real Postgres with fsync on, 10,000 waiting runs of some projects and 8 workers that claim at once: processes, each
with a connection of its own, and no pause between ending a run and claiming the next. Measured is the whole
transaction of a claim; each run must be claimed once.
"""

import argparse
import multiprocessing
import tempfile
import time
import uuid
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from alembic import command
from sqlalchemy import Engine

from service.db.access import projects, quotas
from service.db.experiments import experiments
from service.db.runs import claims, endings
from service.db.session import alembic_config, make_engine, transaction
from service.lifecycle import State
from service.local.postgres import EmbeddedPostgres
from service.spec.experiment import Experiment

SPEC = Experiment.model_validate_json(
    """{"dataset": {"kind": "iris"}, "model": {"kind": "linear"}, "loss": {"kind": "cross_entropy"},
    "optimizer": {"kind": "sgd"}, "steps": 10}"""
)


def submit(engine: Engine, runs: int, owners: int) -> None:
    """That many waiting runs, a thousand an experiment."""
    with transaction(engine) as connection:
        quotas.set_limit(connection, "queued_runs", "person", None, None, None)
    for number in range(-(-runs // 1000)):
        seeds = tuple(range(min(1000, runs - 1000 * number)))
        with transaction(engine) as connection:
            key = projects.new_key(connection, f"project {number % owners}", "ada")
            principal = projects.find_principal(connection, key)
            assert principal is not None
            experiments.add(connection, principal, SPEC.model_copy(update={"seeds": seeds}), "cpu")


def claim_all(url: str, workers: int, count: int) -> tuple[list[float], list[str]]:
    """Milliseconds of each claim, and the runs claimed, by that many workers at once: processes, as workers are."""
    context = multiprocessing.get_context("fork")
    together = context.Barrier(workers)
    with ProcessPoolExecutor(workers, context, initializer=_meet, initargs=(together,)) as pool:
        done = [pool.submit(claim_some, url, f"w{number}", count // workers) for number in range(workers)]
        parts = [each.result() for each in done]
    return [ms for spent, _ in parts for ms in spent], [run for _, claimed in parts for run in claimed]


def _meet(together: Any) -> None:
    global barrier
    barrier = together


def claim_some(url: str, name: str, count: int) -> tuple[list[float], list[str]]:
    """What one worker does: claim, and end what it holds."""
    engine = make_engine(url, pool_size=1, plan_once=True)
    spent, claimed = list[float](), list[str]()
    with transaction(engine):
        barrier.wait()
    for _ in range(count):
        start = time.perf_counter()
        with transaction(engine) as connection:
            held = claims.claim(connection, ["cpu"], name, uuid.uuid4().hex)
        spent.append(1000 * (time.perf_counter() - start))
        assert held is not None
        claimed.append(held.run_id)
        with transaction(engine) as connection:  # a worker holds one run at a time
            endings.finish(connection, held, State.SUCCEEDED, {})
    engine.dispose()
    return spent, claimed


def main() -> None:
    """Measure and print one line for each number of projects."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--claims", type=int, default=2000)
    options = parser.parse_args()
    for owners in (1, 10):
        with tempfile.TemporaryDirectory(prefix="saddle-") as folder:
            Path(folder).chmod(0o711)  # the server runs as another user where this one is root
            with EmbeddedPostgres(Path(folder) / "pg") as server:
                command.upgrade(alembic_config(server.url), "head")
                engine = make_engine(server.url)
                submit(engine, options.runs, owners)
                engine.dispose()
                spent, claimed = claim_all(server.url, options.workers, options.claims)
        p50, p99 = np.percentile(spent, [50, 99])
        print(
            f"{options.runs} waiting, {owners} projects, {options.workers} workers: {len(claimed)} claims, "
            f"{len(set(claimed))} runs; p50 {p50:.1f} ms, p99 {p99:.1f} ms, worst {max(spent):.1f} ms"
        )


if __name__ == "__main__":
    main()
