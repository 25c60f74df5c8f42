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
import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2 as httpx
import numpy as np
import psycopg

from service.local.postgres import EmbeddedPostgres
from service.local.valkey import EmbeddedValkey

ROOT = Path(__file__).resolve().parents[2]
SPEC: dict[str, Any] = {
    "dataset": {"kind": "digits"},
    "model": {"kind": "mlp", "hidden": [64]},
    "loss": {"kind": "cross_entropy"},
    "optimizer": {"kind": "sgd", "lr": 0.05, "momentum": 0.9},
    "batch_size": 32,
    "steps": 10_000_000,
    "checkpoint": {"every_steps": 1000},
}
PATIENCE_S = 300.0
AFTER = "SELECT 1 FROM metric_chunk WHERE run_id = %s AND attempt > %s"
CUT = "SELECT count(*) FROM metric_chunk m JOIN attempt a USING (run_id, attempt) WHERE m.last_step > a.cut_step"


def until(fact: Callable[[], Any], seconds: float = PATIENCE_S) -> Any:
    """The first true value; an error where none comes."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := fact():
            return found
        time.sleep(0.01)
    raise TimeoutError(f"not within {seconds} s")


class Product:
    """Servers, an API and workers in a folder of their own; the database is looked at directly."""

    def __init__(self, home: Path, broker: bool) -> None:
        self.home, self.postgres = home, EmbeddedPostgres(home / "postgres")
        self.valkey = EmbeddedValkey(home / "valkey") if broker else None
        self.processes: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        self.postgres.start()
        self.environment = {k: v for k, v in os.environ.items() if not k.startswith("SADDLE_")}
        self.environment |= {"SADDLE_DATABASE_URL": self.postgres.url, "SADDLE_DATA_DIR": str(self.home / "data")}
        if self.valkey is not None:
            self.valkey.start()
            self.environment["SADDLE_BROKER_URL"] = self.valkey.url
        self.process("service.db", "upgrade").wait()
        command = [sys.executable, "-m", "service.db", "key", "--project", "life"]
        key = subprocess.run(command, cwd=ROOT, env=self.environment, capture_output=True, check=True, text=True)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        headers = {"Authorization": f"Bearer {key.stdout.strip()}"}
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=60)
        self.process("service.api", "--port", str(port))
        until(self.ready)

    def process(self, *arguments: str, **extra: str) -> subprocess.Popen[bytes]:
        with (self.home / f"{arguments[0]}.log").open("ab") as log:
            command, environment = [sys.executable, "-m", *arguments], self.environment | extra
            self.processes.append(subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log))
        return self.processes[-1]

    def worker(self, name: str = "w1", **extra: str) -> subprocess.Popen[bytes]:
        return self.process("worker", SADDLE_WORKER_NAME=name, **extra)

    def ready(self) -> bool:
        with contextlib.suppress(httpx.TransportError):
            return self.http.get("/v1/readyz").status_code == 200
        return False

    def post(self, **changes: Any) -> str:
        answer = self.http.post("/v1/experiments", json=SPEC | changes)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["runs"][0]["id"])

    def rows(self, query: str, *values: Any) -> list[Any]:
        with psycopg.connect(self.postgres.dsn(), autocommit=True) as session:
            return session.execute(query, values).fetchall()  # type: ignore[arg-type]

    def run(self, run_id: str) -> Any:
        """state, attempt, step, checkpoint_step"""
        return self.rows("SELECT state, attempt, step, checkpoint_step FROM run WHERE id = %s", run_id)[0]

    def trains(self, run_id: str, beyond: int = 0) -> Any:
        return until(lambda: row if (row := self.run(run_id))[0] == "running" and row[2] > beyond else None)

    def end(self) -> None:
        for process in reversed(self.processes):
            process.kill()
            process.wait()
        if self.valkey is not None:
            self.valkey.stop()
        self.postgres.stop()


def cancels(product: Product, times: int) -> list[float]:
    product.worker()
    found, run = [], product.post()
    for _ in range(times):
        following = product.post()
        product.trains(run)
        began = time.monotonic()
        product.http.post(f"/v1/runs/{run}/cancel")
        until(lambda run=following: product.run(run)[0] == "running")
        found.append(time.monotonic() - began)
        run = following
    return found


def pauses(product: Product, times: int) -> list[float]:
    product.worker()
    run, found, repeated = product.post(checkpoint={"every_steps": 1_000_000}), list[float](), 0
    for _ in range(times):
        product.trains(run, product.run(run)[2])
        began = time.monotonic()
        product.http.post(f"/v1/runs/{run}/pause")
        _, _, step, kept = until(lambda: row if (row := product.run(run))[0] == "paused" else None)
        found.append(time.monotonic() - began)
        repeated += step - kept
        product.http.post(f"/v1/runs/{run}/resume")
    print(f"steps repeated: {repeated}; stored and superseded: {product.rows(CUT)[0][0]}")
    return found


def kills(product: Product, times: int) -> list[float]:
    worker, found = product.worker(), list[float]()
    while len(found) < times:
        run = product.post()
        for _ in range(min(10, times - len(found))):  # a run may have 50 attempts
            row = product.trains(run, beyond=product.run(run)[3])
            trainer = until(lambda: training(worker.pid))
            until(lambda run=run, row=row: product.run(run)[3] > row[3])  # a checkpoint: the budget is whole again
            began = time.monotonic()
            os.kill(trainer, signal.SIGKILL)
            until(lambda run=run, row=row: product.rows(AFTER, run, row[1]))
            found.append(time.monotonic() - began)
        product.http.post(f"/v1/runs/{run}/cancel")
    return found


def training(worker: int) -> int | None:
    """The child that computes, once a second one stands beside it and is warm."""
    children = [int(pid) for task in Path(f"/proc/{worker}/task").iterdir() for pid in _children(task)]
    if len(children) != 2:
        return None
    before = {pid: _ticks(pid) for pid in children}
    time.sleep(1.0)
    used = {pid: _ticks(pid) - ticks for pid, ticks in before.items()}
    idle = [pid for pid, ticks in used.items() if ticks == 0]
    return next(pid for pid in children if pid not in idle) if len(idle) == 1 else None


def _children(task: Path) -> list[str]:
    return (task / "children").read_text().split()


def _ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return int(fields[11]) + int(fields[12])


def losses(product: Product, times: int) -> list[float]:
    found = []
    for number in range(times):
        run, worker = product.post(), product.worker(f"w{number}")
        product.trains(run)
        began = time.monotonic()
        worker.kill()
        worker.wait()
        until(lambda run=run: product.run(run)[0] == "queued")
        found.append(time.monotonic() - began)
        product.http.post(f"/v1/runs/{run}/cancel")
    return found


def drains(product: Product, times: int) -> list[float]:
    run, found, repeated = product.post(checkpoint={"every_steps": 1_000_000}), list[float](), 0
    for number in range(times):
        before = product.run(run)[2]
        worker = product.worker(f"w{number}")
        product.trains(run, before)
        time.sleep(random.uniform(0, 1))
        began = time.monotonic()
        worker.send_signal(random.choice([signal.SIGTERM, signal.SIGINT, signal.SIGQUIT]))
        assert worker.wait(120) == 0
        found.append(time.monotonic() - began)
        state, _, step, kept = product.run(run)
        repeated += step - kept
        assert state == "queued"
    print(f"steps repeated: {repeated}; stored and superseded: {product.rows(CUT)[0][0]}")
    return found


def rolling(product: Product, times: int) -> list[float]:
    """Every run is whole and like the first, which nobody disturbed; no attempt ended but by a drain or the end."""
    short = {"steps": 20_000, "seeds": [3], "checkpoint": {"every_steps": 1_000_000}}
    workers = {name: product.worker(name) for name in ("w1", "w2")}
    whole = product.post(**short)
    until(lambda: product.run(whole)[0] == "succeeded")
    runs, began, found, restarts = [product.post(**short) for _ in range(times)], time.monotonic(), list[float](), 0
    waiting = "SELECT count(*) FROM run WHERE state NOT IN ('succeeded', 'failed', 'cancelled')"
    while product.rows(waiting)[0][0]:
        for name, worker in list(workers.items()):
            until(lambda name=name: product.rows("SELECT 1 FROM worker WHERE name = %s AND state = 'busy'", name)
                  or not product.rows(waiting)[0][0])  # fmt: skip
            told = time.monotonic()
            worker.send_signal(signal.SIGTERM)
            assert worker.wait(120) == 0
            found.append(time.monotonic() - told)
            workers[name], restarts = product.worker(name), restarts + 1
    curves = {
        run: product.http.get(f"/v1/runs/{run}/series?names=loss&points=all").json()["series"] for run in (whole, *runs)
    }
    alike = sum(curves[run] == curves[whole] for run in runs)
    endings = product.rows("SELECT ending, count(*) FROM attempt GROUP BY ending ORDER BY ending")
    print(f"{alike}/{times} like the undisturbed one after {restarts} restarts in {time.monotonic() - began:.0f} s; "
          f"attempts {dict(endings)}; superseded chunks {product.rows(CUT)[0][0]}")  # fmt: skip
    return found


def no_broker(product: Product, times: int) -> list[float]:
    product.worker()
    until(lambda: product.rows("SELECT 1 FROM worker WHERE state = 'idle'"))
    found, done = [], 0
    for _ in range(times):
        run, began = product.post(steps=500), time.monotonic()
        until(lambda run=run: product.run(run)[1] == 1)
        found.append(time.monotonic() - began)
        done += bool(until(lambda run=run: product.run(run)[0] == "succeeded"))
    print(f"{done}/{times} complete")
    return found


def away(product: Product, times: int) -> list[float]:
    product.worker(SADDLE_SPARES="0")
    run = product.post(steps=3_000_000)
    product.trains(run, 1000)
    product.postgres.stop()
    time.sleep(60 * times)
    product.postgres.start()
    began = time.monotonic()
    until(lambda: product.run(run)[2] > 1_000)
    before = product.run(run)[2]
    product.trains(run, before)
    took = time.monotonic() - began
    product.http.post(f"/v1/runs/{run}/cancel")
    until(lambda: product.run(run)[0] == "cancelled")
    series = product.http.get(f"/v1/runs/{run}/series?names=loss&points=all").json()["series"]["loss"]
    gap = "none" if series["step"] == list(range(1, len(series["step"]) + 1)) else "YES"
    print(f"{times} minutes away: attempt {product.run(run)[1]}, {len(series['step'])} steps, gap: {gap}")
    return [took]


WHAT: dict[str, Callable[[Product, int], list[float]]] = {
    each.__name__: each for each in (cancels, pauses, kills, losses, drains, rolling, no_broker, away)
}


@contextlib.contextmanager
def running(broker: bool) -> Iterator[Product]:
    with tempfile.TemporaryDirectory(prefix="saddle-life-", ignore_cleanup_errors=True) as name:
        Path(name).chmod(0o711)
        product = Product(Path(name), broker)
        try:
            product.start()
            yield product
        finally:
            product.end()


def main() -> None:
    """Measure one of them, and print its spread."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=sorted(WHAT))
    parser.add_argument("--times", type=int, required=True)
    given = parser.parse_args()
    with running(broker=given.what != "no_broker") as product:
        found = WHAT[given.what](product, given.times)
    p50, p99 = np.percentile(found, [50, 99])
    print(f"{given.what}: {len(found)} times, p50 {p50:.2f} s, p99 {p99:.2f} s, worst {max(found):.2f} s")


if __name__ == "__main__":
    main()
