"""How long a diagnosis takes through HTTP: 100,000 steps, 60 series: `python -m tests.benchmarks.diagnosis`.

Two of the series have a value a step, the others what the default watchers record (150 looks) or, as the worst case,
all of them a value a step.
"""

import statistics
import sys
import time

import httpx2 as httpx
import numpy as np
from sqlalchemy import text

from service.analysis.run_data import Series
from service.db.access import projects
from service.db.experiments import experiments
from service.db.metrics.codec import pack
from service.db.runs import endings, leases, runs
from service.db.runs.claims import SavedCheckpoint
from service.db.session import transaction
from service.diagnosis.diagnose import diagnose
from service.diagnosis.plan import Plan
from service.diagnosis.run_record import RunRecord
from service.lifecycle import State
from service.spec.experiment import Experiment
from tests.benchmarks.filled import claim, losses
from tests.harness.product import Product, product

STEPS, LOOKS, ROUNDS, FLUSH = 100_000, 150, 15, 10_000
LAYERS = [f"layers.{2 * depth}" for depth in range(12)]
PREFIXES = ("grad_norm", "update_ratio", "activation/mean", "dead_share")
NAMES = [f"{prefix}/{layer}" for prefix in PREFIXES for layer in LAYERS]
NAMES += ["grad_norm", "update_ratio", "underflow_share", "cosine/gradient", *(f"rate/q{q}" for q in ("50", "99"))]
SPEC = """{"dataset": {"kind": "digits"}, "model": {"kind": "mlp", "hidden": [16,16,16,16,16,16,16,16,16,16,16]},
    "loss": {"kind": "cross_entropy"}, "optimizer": {"kind": "adam"}, "steps": %d, "seeds": %s}"""


def filled(at: Product, seed: int, every: int) -> str:
    """A run whose watchers looked every so many steps."""
    with transaction(at.engine) as connection:
        principal = projects.find_principal(connection, at.key)
        assert principal is not None
        spec = Experiment.model_validate_json(SPEC % (STEPS, [seed]))
        made = experiments.add(connection, principal, spec, "cpu").id
        (run,) = runs.of_experiments(connection, [made])
    held, values = claim(at.engine), losses(STEPS, seed) + 0.2
    noise = np.random.default_rng(seed).lognormal(size=STEPS)
    for begin in range(0, STEPS, FLUSH):
        steps = np.arange(begin + 1, begin + FLUSH + 1)
        looks = steps[steps % every == 0]
        chunks = {"loss": pack(steps, values[steps - 1]), "lr": pack(steps, np.full(len(steps), 1e-3))}
        chunks |= {name: pack(looks, 1e-2 * noise[looks - 1]) for name in NAMES}
        saved = SavedCheckpoint(int(steps[-1]), f"/nowhere/{held.run_id}/{begin}", "0" * 64, 1)
        with transaction(at.engine) as connection:
            leases.save_checkpoint(connection, held, saved, chunks)
    with transaction(at.engine) as connection:
        endings.finish(connection, held, State.SUCCEEDED, {})
    return run.id


def timed(http: httpx.Client, path: str) -> tuple[float, float, float]:
    """First, median and least milliseconds."""
    times = []
    for _ in range(ROUNDS):
        begin = time.perf_counter()
        answer = http.get(path)
        times.append((time.perf_counter() - begin) * 1e3)
        assert answer.status_code == 200, answer.text
    return times[0], statistics.median(times), min(times)


def judged() -> float:
    """Median milliseconds of processor time of the rules alone, over 60 series of 2,048 points."""
    plan = Plan(Experiment.model_validate_json(SPEC % (STEPS, [0])))
    steps = np.linspace(1, STEPS, 2048).astype(np.int64)
    values = losses(2048, 0) + 0.2
    series = {name: Series.exact(steps, values) for name in ("loss", *NAMES)}
    series["lr"] = Series.exact(steps, np.full(2048, 1e-3))
    times = []
    for _ in range(ROUNDS):
        begin = time.process_time()
        diagnose(RunRecord(plan, series, step=STEPS))
        times.append((time.process_time() - begin) * 1e3)
    return statistics.median(times)


def main() -> None:
    """Print the table."""
    print(f"the rules alone, {len(NAMES) + 2} series of 2,048 points: {judged():.0f} ms of processor time")
    with product(worker=False) as at:
        found = {"150 looks": filled(at, 0, STEPS // LOOKS), "a value a step": filled(at, 1, 1)}
        with at.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("VACUUM ANALYZE"))
        for name, run in found.items():
            first, median, least = timed(at.http, f"/v1/runs/{run}/diagnosis")
            plain = timed(at.http, f"/v1/runs/{run}")[1]
            print(f"{name}: first {first:.0f}, median {median:.0f}, least {least:.0f} ms; the run alone {plain:.0f} ms")


if __name__ == "__main__":
    sys.exit(main())
