"""Long runs for benchmarks, written as a worker writes them: flushes, checkpoints, the end."""

import uuid

import numpy as np
import numpy.typing as npt
from sqlalchemy import Engine

from service.db.access import projects
from service.db.experiments import experiments
from service.db.metrics.codec import pack
from service.db.runs import claims, endings, leases, runs
from service.db.runs.claims import Claim, SavedCheckpoint
from service.db.session import transaction
from service.lifecycle import State
from service.spec.experiment import Experiment

SPEC = """{"dataset": {"kind": "iris"}, "model": {"kind": "linear"}, "loss": {"kind": "cross_entropy"},
    "optimizer": {"kind": "sgd"}, "steps": %d, "seeds": %s}"""
Floats = npt.NDArray[np.float64]


def losses(steps: int, seed: int) -> Floats:
    """A falling, noisy loss as torch's float32 holds it."""
    noise = np.random.default_rng(seed).standard_normal(steps)
    falling = np.exp(-4 * np.arange(steps) / steps) + 0.05 * noise
    return falling.astype(np.float32).astype(np.float64)


def claim(engine: Engine) -> Claim:
    """The next waiting run."""
    with transaction(engine) as connection:
        held = claims.claim(connection, ["cpu"], "bench", uuid.uuid4().hex)
    assert held is not None
    return held


def submit(engine: Engine, key: str, count: int, steps: int) -> list[str]:
    """`count` runs of one experiment."""
    with transaction(engine) as connection:
        principal = projects.find_principal(connection, key)
        assert principal is not None
        spec = Experiment.model_validate_json(SPEC % (steps, list(range(count))))
        experiment_id = experiments.add(connection, principal, spec, "cpu").id
        return [run.id for run in runs.of_experiments(connection, [experiment_id])]


def fill(engine: Engine, held: Claim, steps: int, seed: int, flush: int = 1000, save: int = 100_000) -> None:
    """A run of loss and constant rate from its first step to its end."""
    values, rate = losses(steps, seed), np.full(flush, 0.1)
    for begin in range(0, steps, flush):
        at = np.arange(begin + 1, min(begin + flush, steps) + 1)
        chunks = {"loss": pack(at, values[at - 1]), "lr": pack(at, rate[: len(at)])}
        end = int(at[-1])
        with transaction(engine) as connection:
            if end % save == 0:
                saved = SavedCheckpoint(end, f"/nowhere/{held.run_id}/{end}", "0" * 64, 1)
                leases.save_checkpoint(connection, held, saved, chunks)
            else:
                leases.flush(connection, held, chunks)
    with transaction(engine) as connection:
        endings.finish(connection, held, State.SUCCEEDED, {})
