"""Very many experiments for a benchmark: a few as workers write them, and copies of all their rows made in Postgres."""

import uuid
from collections.abc import Mapping

import numpy as np
from sqlalchemy import Connection, Engine, text

from service.db.access.principal import Principal
from service.db.experiments import experiments
from service.db.metrics.codec import Chunk, pack
from service.db.runs import claims, endings, leases
from service.db.session import transaction
from service.lifecycle import State
from service.spec.experiment import Experiment
from tests.benchmarks.filled import fill, losses

SPEC = """{"name": "trial", "dataset": {"kind": "digits"}, "model": {"kind": "mlp", "hidden": [64]},
    "loss": {"kind": "cross_entropy"}, "optimizer": {"kind": "sgd", "lr": 0.1}, "steps": %d, "seeds": %s}"""
ORIGINALS, SEEDS, STEPS, EVALUATIONS = 64, 2, 2_500, 25
POINTS_EACH = SEEDS * 2 * (STEPS + EVALUATIONS)  # of an experiment
LONG_SEEDS, LONG_STEPS = 3, 1_000_000
BATCH = 25  # copies of everything in one transaction
SERIES_STRIDE = 1_000_000  # between the ids of a series and of its copy
RUN_ID, EXPERIMENT_ID = (
    f"'{prefix}_' || lpad((i.copy * {size} + k.{rank})::text, 26, '0')"
    for prefix, size, rank in (("run", ORIGINALS * SEEDS, "run_rank"), ("exp", ORIGINALS, "experiment_rank"))
)
TRIAL = f"(i.copy * {ORIGINALS} + k.experiment_rank)"
FAILED = f"(i.copy * {ORIGINALS * SEEDS} + k.run_rank) % 10 = 0"
COPIES: dict[str, dict[str, str]] = {  # table: what a copy has other than its original
    "experiment": {
        "id": EXPERIMENT_ID,
        "name": f"'trial ' || {TRIAL}",
        "spec": f"jsonb_set(t.spec, '{{optimizer,lr}}', to_jsonb({TRIAL} / 100000.0))",
        "spec_hash": f"md5({TRIAL}::text)",
        "created_at": f"t.created_at - make_interval(mins => 1000000 - {TRIAL}::int)",
    },
    "run": {
        "id": RUN_ID,
        "experiment_id": EXPERIMENT_ID,
        "state": f"CASE WHEN {FAILED} THEN 'failed' ELSE 'succeeded' END",
        "failure": f"""CASE WHEN {FAILED} THEN '{{"kind": "crash_loop", "message": "it died"}}'::jsonb END""",
    },
    "attempt": {"run_id": RUN_ID},
    "series": {"id": f"t.id + i.copy * {SERIES_STRIDE}", "run_id": RUN_ID, "min": "random()", "last": "random()"},
    "metric_chunk": {"run_id": RUN_ID, "series_id": f"t.series_id + i.copy * {SERIES_STRIDE}"},
    "metric_tile": {"run_id": RUN_ID, "series_id": f"t.series_id + i.copy * {SERIES_STRIDE}"},
    "event": {"id": f"t.id + i.copy * {SERIES_STRIDE}", "run_id": RUN_ID},
}
RANKS = """
    CREATE TEMPORARY TABLE original ON COMMIT PRESERVE ROWS AS
    SELECT r.id AS run_id, r.experiment_id, row_number() OVER (ORDER BY r.id) - 1 AS run_rank,
        dense_rank() OVER (ORDER BY r.experiment_id) - 1 AS experiment_rank
    FROM run r WHERE r.total_steps = :steps
"""


def add_experiments(engine: Engine, principal: Principal, count: int) -> None:
    """Write `count` experiments of some runs each, most of them as copies."""
    for number in range(ORIGINALS):
        _submit(engine, principal, STEPS, SEEDS)
        for seed in range(SEEDS):
            _train(engine, number * SEEDS + seed)
    with engine.connect() as connection:
        connection.execute(text("SET session_replication_role = replica"))  # no foreign key is checked row by row
        connection.execute(text(RANKS), {"steps": STEPS})
        connection.commit()
        copies = count // ORIGINALS - 1
        for first in range(1, copies + 1, BATCH):
            for table, changed in COPIES.items():
                _copy(connection, table, changed, first, min(first + BATCH - 1, copies))
            connection.commit()
        for table in ("series", "event"):
            sequence = f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), (SELECT max(id) FROM {table}))"
            connection.execute(text(sequence))
        connection.execute(text("SET session_replication_role = DEFAULT"))
        connection.commit()


def add_long_runs(engine: Engine, principal: Principal) -> list[str]:
    """Write an experiment of a few very long runs; return their ids."""
    _submit(engine, principal, LONG_STEPS, LONG_SEEDS)
    held = []
    for seed in range(LONG_SEEDS):
        held.append(_claim(engine))
        fill(engine, held[-1], LONG_STEPS, seed, flush=4_000)
    return [each.run_id for each in held]


def _copy(connection: Connection, table: str, changed: Mapping[str, str], first: int, last: int) -> None:
    """Copy the originals' rows of a table, once for each number from `first` to `last`."""
    found = text("SELECT column_name FROM information_schema.columns WHERE table_schema = 'public' AND table_name = :t")
    columns = connection.execute(found, {"t": table}).scalars().all()
    values = ", ".join(changed.get(column, f't."{column}"') for column in columns)
    names = ", ".join(f'"{column}"' for column in columns)
    one = "(SELECT DISTINCT ON (experiment_id) * FROM original)" if table == "experiment" else "original"
    key = {"experiment": "t.id = k.experiment_id", "run": "t.id = k.run_id"}.get(table, "t.run_id = k.run_id")
    statement = f"""INSERT INTO {table} ({names}) OVERRIDING SYSTEM VALUE SELECT {values}
        FROM generate_series({first}, {last}) AS i(copy) CROSS JOIN {one} k JOIN {table} t ON {key}"""
    connection.execute(text(statement.replace(":", "\\:")))


def _submit(engine: Engine, principal: Principal, steps: int, seeds: int) -> None:
    with transaction(engine) as connection:
        spec = Experiment.model_validate_json(SPEC % (steps, list(range(seeds))))
        experiments.add(connection, principal, spec, "cpu")


def _claim(engine: Engine) -> claims.Claim:
    with transaction(engine) as connection:
        held = claims.claim(connection, ["cpu"], "bench", uuid.uuid4().hex)
    assert held is not None
    return held


def _train(engine: Engine, seed: int) -> None:
    """A run as a worker leaves it: a noisy loss in float32, a cosine as the rate, evaluations now and then."""
    steps = np.arange(1, STEPS + 1)
    rate = 0.05 * (1 + np.cos(np.pi * steps / STEPS))
    loss, at = losses(STEPS, seed), steps[:: STEPS // EVALUATIONS]
    chunks: dict[str, Chunk] = {"loss": pack(steps, loss), "lr": pack(steps, rate)}
    chunks |= {"val/loss": pack(at, loss[at - 1]), "val/accuracy": pack(at, 1 - loss[at - 1] / 4)}
    held = _claim(engine)
    with transaction(engine) as connection:
        leases.flush(connection, held, chunks)
    with transaction(engine) as connection:
        endings.finish(connection, held, State.SUCCEEDED, {})
