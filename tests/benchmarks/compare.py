"""How long a comparison of 100 experiments with 5 seeds each takes through HTTP. `python tests/benchmarks/compare.py`.

Goal: 200 ms. Three questions: figures and verdicts alone; times to a target besides; the curves of a series besides.
"""

import json
import sys
import time
import uuid
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from sqlalchemy import Engine

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parent))

from product import Product, product

from service.db.access.projects import find_principal
from service.db.experiments import experiments
from service.db.metrics.codec import pack
from service.db.runs import claims, endings, leases
from service.db.session import transaction
from service.lifecycle import State
from service.spec.experiment import Experiment

EXPERIMENTS, SEEDS, STEPS, EVERY = 100, 5, 1000, 20
ASKED = 20
QUESTIONS: dict[str, dict[str, Any]] = {
    "figures, verdicts, fairness": {"points": None},
    "and times to a target": {"points": None, "target": {"series": "val/loss", "share": 0.9}},
    "and curves of 100 points": {"points": 100, "series": ["val/loss"]},
    "and curves of 100 points from every step": {"points": 100, "series": ["loss"]},
    "grouped by the optimizer": {"points": None, "group": "optimizer.kind"},
}


def fill(engine: Engine, key: str) -> list[str]:
    """The experiments, trained in name only."""
    with transaction(engine) as connection:
        principal = find_principal(connection, key)
    assert principal is not None
    ids = []
    for number in range(EXPERIMENTS):
        kind = ("sgd", "adam", "adamw", "rmsprop")[number % 4]
        spec = {
            "name": f"trial {number}",
            "dataset": {"kind": "digits"},
            "model": {"kind": "mlp", "hidden": [64]},
            "loss": {"kind": "cross_entropy"},
            "optimizer": {"kind": kind, "lr": 10 ** (-3 + number / 50)},
            "steps": STEPS,
            "seeds": list(range(SEEDS)),
        }
        with transaction(engine) as connection:
            ids.append(
                experiments.add(connection, principal, Experiment.model_validate_json(json.dumps(spec)), "none").id
            )
    rng = np.random.default_rng(0)
    for _ in range(EXPERIMENTS * SEEDS):
        with transaction(engine) as connection:
            held = claims.claim(connection, ["none"], "bench", uuid.uuid4().hex)
            assert held is not None
            steps = np.arange(1, STEPS + 1)
            loss = 2.3 * np.exp(-steps / 200) + 0.1 * rng.random(STEPS) + 0.02 * rng.random()
            sparse = steps[EVERY - 1 :: EVERY]
            chunks = {
                "loss": pack(steps, loss),
                "lr": pack(steps, np.full(STEPS, 0.1)),
                "val/loss": pack(sparse, loss[sparse - 1]),
                "val/accuracy": pack(sparse, 1 - loss[sparse - 1] / 3),
            }
            environment = {"device": "cpu", "device_name": "bench", "threads": 1, "torch": "2.13.0"}
            leases.flush(connection, held, {}, environment)
            endings.finish(connection, held, State.SUCCEEDED, chunks)
    return ids


def measure(served: Product, ids: list[str]) -> None:
    """Each question asked several times; the first answer fills the caches of a process that has just started."""
    print(f"{EXPERIMENTS} experiments x {SEEDS} seeds x {STEPS} steps, {ASKED} times each, ms")
    for name, part in QUESTIONS.items():
        question = {"experiments": ids, "series": ["val/loss"]} | part
        posted = served.http.post("/v1/comparisons", json=question)
        assert posted.status_code == 201, posted.text
        address, size = posted.headers["Location"], len(posted.content)
        spent = []
        for _ in range(ASKED):
            begin = time.perf_counter()
            assert served.http.get(address).status_code == 200
            spent.append(1000 * (time.perf_counter() - begin))
        print(f"  {name:44} median {median(spent):6.0f}  worst {max(spent):6.0f}  {size / 1024:7.0f} KiB")


if __name__ == "__main__":
    with product() as served:
        measure(served, fill(served.engine, served.http.headers["Authorization"].split()[1]))
