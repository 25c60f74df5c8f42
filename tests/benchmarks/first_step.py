"""From POST to the end of the first step, idle worker with its warm trainer: `python -m tests.benchmarks.first_step`.

The clock stops when another connection reads the first point from Postgres, so its commit is inside the figure.
"""

import argparse
import statistics
import time
from typing import Any

from sqlalchemy import text

from tests.harness.product import Product, product
from tests.harness.waiting import until

SPEC: dict[str, Any] = {
    "dataset": {"kind": "digits"},
    "model": {"kind": "mlp", "hidden": [128]},
    "loss": {"kind": "cross_entropy"},
    "optimizer": {"kind": "sgd", "lr": 0.01},
    "batch_size": 64,
    "steps": 50,
}


def once(bench: Product) -> tuple[float, float]:
    """Milliseconds until the answer to the POST, and until the first step can be read."""
    with bench.engine.connect() as connection:
        look = connection.execution_options(isolation_level="AUTOCOMMIT")
        query = text("SELECT step FROM run WHERE id = :id")
        look.execute(query, {"id": ""})
        start = time.perf_counter()
        answer = bench.http.post("/v1/experiments", json=SPEC)
        answered = time.perf_counter()
        run = {"id": answer.json()["runs"][0]["id"]}
        while look.execute(query, run).scalar_one() < 1:
            time.sleep(0.0005)
        first = time.perf_counter()
        until(lambda: look.execute(text("SELECT state = 'succeeded' FROM run WHERE id = :id"), run).scalar_one())
    return (answered - start) * 1e3, (first - start) * 1e3


def measure(bench: Product, rounds: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Both times of every round, after three rounds that warm up."""
    for _ in range(3):
        once(bench)
    rows = []
    for _ in range(rounds):
        time.sleep(0.3)
        rows.append(once(bench))
    answered, readable = zip(*rows, strict=True)
    return answered, readable


def main() -> None:
    """Print median and worst."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=40)
    arguments = parser.parse_args()
    with product() as bench:
        columns = measure(bench, arguments.rounds)
    for name, values in zip(("POST answered", "first step readable"), columns, strict=True):
        ordered = sorted(values)
        print(
            f"{name:20} median {statistics.median(values):7.1f} ms   p90 {ordered[int(0.9 * len(ordered))]:7.1f} ms   "
            f"worst {ordered[-1]:7.1f} ms   of {len(values)}"
        )


if __name__ == "__main__":
    main()
