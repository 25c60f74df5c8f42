"""Runs through the whole of Saddle, as packs and alone: `python -m tests.benchmarks.packs.whole_path`.

Real processes and a real Postgres. An experiment of so many seeds is posted; measured is the time from the first
claim to the last row of the last run, with `pack: auto` and `pack: never`, and what the supervisors and Postgres
take of a core meanwhile. The times compared with, `x`, are those of one worker that trains one run after the other.
"""

import argparse
import time
from typing import Any

import psutil

from tests.harness.product import Product, install_product
from tests.harness.waiting import until

SPEC: dict[str, Any] = {
    "dataset": {"kind": "digits"},
    "model": {"kind": "mlp", "hidden": [64]},
    "loss": {"kind": "cross_entropy"},
    "optimizer": {"kind": "sgd", "lr": 0.05, "momentum": 0.9},
    "diagnose": "never",
}
SPAN = """
    SELECT count(*) FILTER (WHERE state = 'succeeded'), count(*), extract(epoch FROM max(finished_at) - min(started_at))
    FROM run WHERE experiment_id = %s
"""


def measure(product: Product, runs: int, pack: str, batch: int, steps: int, probes: bool) -> tuple[float, float]:
    """Return the seconds from the first claim to the last row, and the share of a core beside the training."""
    watched = beside(product)
    spec = SPEC | {"restarts": runs, "batch_size": batch, "steps": steps, "pack": pack}
    spec |= {} if probes else {"probes": []}
    made = product.post("/v1/experiments", spec)["id"]
    until(lambda: product.sql("SELECT 1 FROM run WHERE experiment_id = %s AND started_at IS NOT NULL", made), 60)
    began, before = time.monotonic(), cpu_s(watched)
    until(lambda: ended(product, made), 1800, 0.1)
    share = (cpu_s(watched) - before) / (time.monotonic() - began)
    ((good, all_runs, seconds),) = product.sql(SPAN, made)
    assert good == all_runs == runs, (good, all_runs)
    return float(seconds), share


def ended(product: Product, made: str) -> bool:
    statement = "SELECT 1 FROM run WHERE experiment_id = %s AND finished_at IS NULL LIMIT 1"
    return not product.sql(statement, made)


def beside(product: Product) -> list[psutil.Process]:
    """The supervisors, and Postgres's processes."""
    workers = [psutil.Process(each.pid) for each in product.processes if "worker" in " ".join(command(each.pid))]
    home = str(product.home)
    named = [each for each in psutil.process_iter(["name"]) if each.info["name"] == "postgres"]
    return workers + [each for each in named if folder(each).startswith(home)]


def folder(process: psutil.Process) -> str:
    """The folder of a process; empty once it has ended, as those of other people's databases do."""
    try:
        return str(process.cwd())
    except psutil.Error:
        return ""


def command(pid: int) -> list[str]:
    return list(psutil.Process(pid).cmdline())


def cpu_s(processes: list[psutil.Process]) -> float:
    found = 0.0
    for each in processes:
        try:
            times = each.cpu_times()
        except psutil.NoSuchProcess:
            continue
        found += times.user + times.system
    return found


def main() -> None:
    """Measure packs and single runs, alternately, and print the ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=64)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--batch", type=int, nargs="+", default=[64, 16])
    parser.add_argument("--alone", type=int, default=16, help="runs that are trained alone, for the time of each")
    parser.add_argument("--probes", action="store_true", help="with the default probes")
    parser.add_argument("--threads", type=int, default=1, help="of each trainer")
    parser.add_argument(
        "--workers", type=int, default=1, help="at most; all rows are compared with one that trains alone"
    )
    given = parser.parse_args()
    settings = {"SADDLE_PACK_RUNS": given.runs, "SADDLE_SPARES": 0, "SADDLE_THREADS": given.threads}
    alone_s: dict[int, float] = {}  # of all runs one after the other, by batch
    with install_product(**{name: str(value) for name, value in settings.items()}) as product:
        product.start_api()
        for workers in range(1, given.workers + 1):
            add_worker(product, workers)
            for batch in given.batch:
                measure(product, 2 * workers, "auto", batch, 50, given.probes)  # the trainers are warm
                packed, share = measure(product, given.runs, "auto", batch, given.steps, given.probes)
                alone, share_alone = measure(product, given.alone, "never", batch, given.steps, given.probes)
                alone *= given.runs / given.alone
                first = alone_s.setdefault(batch, alone)
                print(
                    f"{workers} workers, {given.runs} runs of {given.steps} steps, batch {batch}: "
                    f"packed {packed:.2f} s, {first / packed:.1f} x; alone {alone:.2f} s, {first / alone:.1f} x; "
                    f"supervisors and Postgres take {100 * share:.0f} % of a core, {100 * share_alone:.0f} % alone",
                    flush=True,
                )


def add_worker(product: Product, number: int) -> None:
    """Start a worker, the `number`-th, and wait until all are idle."""
    product.start_worker(f"w{number}")
    until(lambda: len(product.sql("SELECT 1 FROM worker WHERE state = 'idle'")) == number, 120)


if __name__ == "__main__":
    main()
