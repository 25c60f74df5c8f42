"""How long the moments of a run's life take, with real processes and the clock of a deployment.

python -m tests.benchmarks.life cancels --times 100     cancelled -> the device trains the next run
python -m tests.benchmarks.life pauses --times 50       paused -> checkpointed and the device free; steps repeated
python -m tests.benchmarks.life kills --times 30        trainer killed -> points of the next attempt are readable
python -m tests.benchmarks.life losses --times 5        worker killed -> its run waits again
python -m tests.benchmarks.life drains --times 20       SIGTERM -> the worker has ended; steps repeated
python -m tests.benchmarks.life rolling --times 20      so many runs while every worker is replaced again and again
python -m tests.benchmarks.life no_broker --times 10    so many runs without Valkey: POST -> started
python -m tests.benchmarks.life away --times 10         Postgres is away for so many minutes under a run that trains
"""

import argparse
import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tests.harness.product import Product, children, install_product
from tests.harness.waiting import until

SPEC: dict[str, Any] = {
    "dataset": {"kind": "digits"},
    "model": {"kind": "mlp", "hidden": [64]},
    "loss": {"kind": "cross_entropy"},
    "optimizer": {"kind": "sgd", "lr": 0.05, "momentum": 0.9},
    "batch_size": 32,
    "steps": 10_000_000,
    "checkpoint": {"every_steps": 1000},
}
AFTER = "SELECT 1 FROM metric_chunk WHERE run_id = %s AND attempt > %s"
CUT = "SELECT count(*) FROM metric_chunk m JOIN attempt a USING (run_id, attempt) WHERE m.last_step > a.cut_step"


def submit(product: Product, **changes: Any) -> str:
    """Post the spec with these changes; return its run."""
    return str(product.post("/v1/experiments", SPEC | changes)["runs"][0]["id"])


def row_of(product: Product, run_id: str) -> Any:
    """state, attempt, step, checkpoint_step"""
    return product.sql("SELECT state, attempt, step, checkpoint_step FROM run WHERE id = %s", run_id)[0]


def trains(product: Product, run_id: str, beyond: int = 0) -> Any:
    """The row of a run once it runs and is beyond a step."""
    return until(lambda: row if (row := row_of(product, run_id))[0] == "running" and row[2] > beyond else None)


def cancels(product: Product, times: int) -> list[float]:
    product.start_worker()
    found, run = [], submit(product)
    for _ in range(times):
        following = submit(product)
        trains(product, run)
        began = time.monotonic()
        product.http.post(f"/v1/runs/{run}/cancel")
        until(lambda run=following: row_of(product, run)[0] == "running")
        found.append(time.monotonic() - began)
        run = following
    return found


def pauses(product: Product, times: int) -> list[float]:
    product.start_worker()
    run, found, repeated = submit(product, checkpoint={"every_steps": 1_000_000}), list[float](), 0
    for _ in range(times):
        trains(product, run, row_of(product, run)[2])
        began = time.monotonic()
        product.http.post(f"/v1/runs/{run}/pause")
        _, _, step, kept = until(lambda: row if (row := row_of(product, run))[0] == "paused" else None)
        found.append(time.monotonic() - began)
        repeated += step - kept
        product.http.post(f"/v1/runs/{run}/resume")
    print(f"steps repeated: {repeated}; stored and superseded: {product.sql(CUT)[0][0]}")
    return found


def kills(product: Product, times: int) -> list[float]:
    worker, found = product.start_worker(), list[float]()
    while len(found) < times:
        run = submit(product)
        for _ in range(min(10, times - len(found))):  # a run may have 50 attempts
            row = trains(product, run, beyond=row_of(product, run)[3])
            trainer = until(lambda: training(worker.pid))
            until(lambda run=run, row=row: row_of(product, run)[3] > row[3])  # a checkpoint: the budget is whole again
            began = time.monotonic()
            os.kill(trainer, signal.SIGKILL)
            until(lambda run=run, row=row: product.sql(AFTER, run, row[1]))
            found.append(time.monotonic() - began)
        product.http.post(f"/v1/runs/{run}/cancel")
    return found


def training(worker: int) -> int | None:
    """The child that computes, once a second one stands beside it and is warm."""
    pids = children(worker)
    if len(pids) != 2:
        return None
    before = {pid: _ticks(pid) for pid in pids}
    time.sleep(1.0)
    used = {pid: _ticks(pid) - ticks for pid, ticks in before.items()}
    idle = [pid for pid, ticks in used.items() if ticks == 0]
    return next(pid for pid in pids if pid not in idle) if len(idle) == 1 else None


def _ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return int(fields[11]) + int(fields[12])


def losses(product: Product, times: int) -> list[float]:
    found = []
    for number in range(times):
        run, worker = submit(product), product.start_worker(f"w{number}")
        trains(product, run)
        began = time.monotonic()
        worker.kill()
        worker.wait()
        until(lambda run=run: row_of(product, run)[0] == "queued")
        found.append(time.monotonic() - began)
        product.http.post(f"/v1/runs/{run}/cancel")
    return found


def drains(product: Product, times: int) -> list[float]:
    run, found, repeated = submit(product, checkpoint={"every_steps": 1_000_000}), list[float](), 0
    for number in range(times):
        before = row_of(product, run)[2]
        worker = product.start_worker(f"w{number}")
        trains(product, run, before)
        time.sleep(random.uniform(0, 1))
        began = time.monotonic()
        worker.send_signal(random.choice([signal.SIGTERM, signal.SIGINT, signal.SIGQUIT]))
        assert worker.wait(120) == 0
        found.append(time.monotonic() - began)
        state, _, step, kept = row_of(product, run)
        repeated += step - kept
        assert state == "queued"
    print(f"steps repeated: {repeated}; stored and superseded: {product.sql(CUT)[0][0]}")
    return found


def rolling(product: Product, times: int) -> list[float]:
    """Every run is whole and like the first, which nobody disturbed; no attempt ended but by a drain or the end."""
    short = {"steps": 20_000, "seeds": [3], "checkpoint": {"every_steps": 1_000_000}}
    workers = {name: product.start_worker(name) for name in ("w1", "w2")}
    whole = submit(product, **short)
    until(lambda: row_of(product, whole)[0] == "succeeded")
    runs, began, found, restarts = [submit(product, **short) for _ in range(times)], time.monotonic(), list[float](), 0
    waiting = "SELECT count(*) FROM run WHERE state NOT IN ('succeeded', 'failed', 'cancelled')"
    while product.sql(waiting)[0][0]:
        for name, worker in list(workers.items()):
            until(lambda name=name: product.sql("SELECT 1 FROM worker WHERE name = %s AND state = 'busy'", name)
                  or not product.sql(waiting)[0][0])  # fmt: skip
            told = time.monotonic()
            worker.send_signal(signal.SIGTERM)
            assert worker.wait(120) == 0
            found.append(time.monotonic() - told)
            workers[name], restarts = product.start_worker(name), restarts + 1
    curves = {
        run: product.http.get(f"/v1/runs/{run}/series?names=loss&points=all").json()["series"] for run in (whole, *runs)
    }
    alike = sum(curves[run] == curves[whole] for run in runs)
    endings = product.sql("SELECT ending, count(*) FROM attempt GROUP BY ending ORDER BY ending")
    print(f"{alike}/{times} like the undisturbed one after {restarts} restarts in {time.monotonic() - began:.0f} s; "
          f"attempts {dict(endings)}; superseded chunks {product.sql(CUT)[0][0]}")  # fmt: skip
    return found


def no_broker(product: Product, times: int) -> list[float]:
    product.start_worker()
    until(lambda: product.sql("SELECT 1 FROM worker WHERE state = 'idle'"))
    found, done = [], 0
    for _ in range(times):
        run, began = submit(product, steps=500), time.monotonic()
        until(lambda run=run: row_of(product, run)[1] == 1)
        found.append(time.monotonic() - began)
        done += bool(until(lambda run=run: row_of(product, run)[0] == "succeeded"))
    print(f"{done}/{times} complete")
    return found


def away(product: Product, times: int) -> list[float]:
    product.start_worker(SADDLE_SPARES="0")
    run = submit(product, steps=3_000_000)
    trains(product, run, 1000)
    product.postgres.stop()
    time.sleep(60 * times)
    product.postgres.start()
    began = time.monotonic()
    until(lambda: row_of(product, run)[2] > 1_000)
    before = row_of(product, run)[2]
    trains(product, run, before)
    took = time.monotonic() - began
    product.http.post(f"/v1/runs/{run}/cancel")
    until(lambda: row_of(product, run)[0] == "cancelled")
    series = product.http.get(f"/v1/runs/{run}/series?names=loss&points=all").json()["series"]["loss"]
    gap = "none" if series["step"] == list(range(1, len(series["step"]) + 1)) else "YES"
    print(f"{times} minutes away: attempt {row_of(product, run)[1]}, {len(series['step'])} steps, gap: {gap}")
    return [took]


WHAT: dict[str, Callable[[Product, int], list[float]]] = {
    each.__name__: each for each in (cancels, pauses, kills, losses, drains, rolling, no_broker, away)
}


def main() -> None:
    """Measure one of them, and print its spread."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=sorted(WHAT))
    parser.add_argument("--times", type=int, required=True)
    given = parser.parse_args()
    with install_product(broker=given.what != "no_broker") as product:
        product.start_api()
        found = WHAT[given.what](product, given.times)
    p50, p99 = np.percentile(found, [50, 99])
    print(f"{given.what}: {len(found)} times, p50 {p50:.2f} s, p99 {p99:.2f} s, worst {max(found):.2f} s")


if __name__ == "__main__":
    main()
