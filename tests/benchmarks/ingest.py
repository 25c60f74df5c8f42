"""Points a second into durable storage, against binary COPY of rows: `python -m tests.benchmarks.ingest [--peers]`.

A point is one (run, series, step, value); a flush has a loss and a rate for each step and is one fenced transaction.
The yardstick copies a row a step (run, step, loss, rate; primary key), 5,000 rows a COPY and a transaction.
Writers are processes of their own, and take turns with the yardstick. With --peers other trackers (`peers.py`) log as
many steps as they can, until each says that it is done; what they need to begin is left out.
"""

import argparse
import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psycopg

from service.db.metrics.codec import pack
from service.db.runs import leases
from service.db.session import make_engine, transaction
from tests.benchmarks.filled import claim, losses, submit
from tests.benchmarks.peers import __main__ as peers
from tests.harness.product import product

SECONDS = 3.0
ROUNDS = 5
POINTS = 2  # of a step
PEER_STEPS = 50_000


def flushes(url: str, steps: int) -> float:
    """Points a second of one worker that flushes `steps` steps at a time."""
    engine = make_engine(url, pool_size=1)
    held = claim(engine)
    loss, rate = losses(steps, 0), np.full(steps, 0.1)
    first, begin = 1, time.perf_counter()
    while time.perf_counter() - begin < SECONDS:
        at = np.arange(first, first + steps)
        with transaction(engine) as connection:
            leases.flush(connection, held, {"loss": pack(at, loss), "lr": pack(at, rate)})
        first += steps
    engine.dispose()
    return POINTS * (first - 1) / (time.perf_counter() - begin)


def copies(url: str, steps: int) -> float:
    """Points a second of COPY (FORMAT binary)."""
    loss = losses(steps, 0).tolist()
    dsn = url.replace("postgresql+psycopg", "postgresql")
    with psycopg.connect(dsn) as connection:
        name = f"yardstick_{time.monotonic_ns()}"
        connection.execute(
            f"CREATE TABLE {name} (run int4, step int4, loss float8, lr float8, PRIMARY KEY (run, step))"
        )
        connection.commit()
        first, begin = 1, time.perf_counter()
        while time.perf_counter() - begin < SECONDS:
            with connection.cursor().copy(f"COPY {name} FROM STDIN (FORMAT binary)") as copy:
                copy.set_types(["int4", "int4", "float8", "float8"])
                for i in range(steps):
                    copy.write_row((1, first + i, loss[i], 0.1))
            connection.commit()
            first += steps
        spent = time.perf_counter() - begin
        connection.execute(f"DROP TABLE {name}")
    return POINTS * (first - 1) / spent


def together(job: Callable[[str, int], float], url: str, steps: int, writers: int) -> float:
    """Of several writers at once."""
    if writers == 1:
        return job(url, steps)
    with multiprocessing.get_context("spawn").Pool(writers) as pool:
        return sum(pool.starmap(job, [(url, steps)] * writers))


def peer(name: str) -> float:
    """Points a second of another tracker."""
    loss = losses(PEER_STEPS, 0).tolist()
    with tempfile.TemporaryDirectory(prefix="saddle-bench-", ignore_cleanup_errors=True) as home:
        with peers.PEERS[name](Path(home), "ingest") as log:
            log(1, loss[0], 0.1)
            begin = time.perf_counter()
            for step in range(2, PEER_STEPS + 1):
                log(step, loss[step - 1], 0.1)
        return POINTS * (PEER_STEPS - 1) / (time.perf_counter() - begin)


def others(ours: float) -> None:
    """Print what the trackers that are installed here do."""
    for name in peers.importable():
        found = peer(name)
        print(f"{name:22} {found / 1e6:8.3f} M points/s, ours {ours / found:6.1f} x", flush=True)


def main() -> None:
    """Print medians and ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rounds", type=int, nargs="?", default=ROUNDS)
    parser.add_argument("--peers", action="store_true")
    asked = parser.parse_args()
    rounds = asked.rounds
    alone: list[float] = []
    with product(worker=False) as at:
        for writers in (1, 4):
            found: dict[str, list[float]] = {}
            for _ in range(rounds):
                submit(at.engine, at.key, 3 * writers, 10**8)
                found.setdefault("COPY", []).append(together(copies, at.database_url, 5000, writers))
                for steps in (100, 1000, 10_000):
                    found.setdefault(f"{steps} steps", []).append(together(flushes, at.database_url, steps, writers))
            yardstick = statistics.median(found["COPY"])
            alone.append(statistics.median(found["10000 steps"]))
            for name, speeds in found.items():
                median = statistics.median(speeds)
                print(
                    f"{writers} writers {name:12} {median / 1e6:8.2f} M points/s  {median / yardstick:6.1f} x COPY",
                    flush=True,
                )
    if asked.peers:
        others(alone[0])


if __name__ == "__main__":
    main()
