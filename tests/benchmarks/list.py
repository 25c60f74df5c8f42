"""How long a page of 10,000 experiments takes through HTTP: `python tests/benchmarks/list.py`.

Plain, filtered and sorted. Goal: p99 <= 30 ms for a page of 50.
"""

import json
import sys
import time
from pathlib import Path

from sqlalchemy import Engine, text

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from service.spec.experiment import Experiment
from tests.harness.product import product

EXPERIMENTS, SEEDS, ASKED = 10_000, 2, 100
SPEC = {
    "dataset": {"kind": "digits"},
    "model": {"kind": "mlp", "hidden": [64]},
    "loss": {"kind": "cross_entropy"},
    "optimizer": {"kind": "sgd", "lr": 0.1},
    "steps": 1000,
    "tags": ["sweep"],
}
LISTS = {
    "newest": {},
    "newest, three fields": {"fields": "name,owner,runs"},
    "state = failed": {"filter": "state = failed"},
    "optimizer.lr > 0.999 (1 of 1,000)": {"filter": "optimizer.lr > 0.999"},
    "best(val/loss) < 0.001 (1 of 1,000)": {"filter": "best(val/loss) < 0.001"},
    "name = trial 7": {"filter": "name = 'trial 7'"},
    "sorted by -created": {"sort": "-created"},
    "sorted by best(val/loss)": {"sort": "best(val/loss)"},
    "newest, with four columns": {"columns": "best(val/loss),last(loss),best(val/accuracy),optimizer.lr"},
}
FILL = (
    """INSERT INTO experiment (id, project_id, owner_id, name, spec, spec_hash)
    SELECT 'exp_' || lpad(i::text, 26, '0'), m.project_id, m.id, 'trial ' || i,
        jsonb_set(cast(:spec AS jsonb), '{optimizer,lr}', to_jsonb(i / 10000.0)), md5(i::text)
    FROM member m, generate_series(1, :experiments) i""",
    """INSERT INTO run (id, experiment_id, project_id, owner_id, seed, total_steps, pool, state, failure, step)
    SELECT 'run_' || lpad((row_number() OVER ())::text, 26, '0'), e.id, e.project_id, e.owner_id, s, 1000, 'cpu',
        CASE WHEN random() < 0.1 THEN 'failed' ELSE 'succeeded' END, NULL, 1000
    FROM experiment e, generate_series(1, :seeds) s""",
    """INSERT INTO series (run_id, name, n, last, last_step, min, min_step, max, max_step)
    SELECT r.id, n, 1000, v, 1000, v, 1000, 2, 1
    FROM run r, unnest(ARRAY['loss', 'lr', 'val/loss', 'val/accuracy']) n, LATERAL (SELECT random() AS v, r.id) x""",
)


def fill(engine: Engine) -> None:
    """Rows as experiments leave them."""
    spec = json.dumps(Experiment.model_validate_json(json.dumps(SPEC)).normalised())
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE run DROP CONSTRAINT run_failure_told_check"))
        for statement in FILL:
            known = {"spec": spec, "experiments": EXPERIMENTS, "seeds": SEEDS}
            connection.execute(text(statement), {k: v for k, v in known.items() if f":{k}" in statement})


def tidied(engine: Engine) -> None:
    """As autovacuum leaves the tables within a minute."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE"))


if __name__ == "__main__":
    with product() as served:
        served.processes[-1].terminate()  # the worker: nothing is to be trained
        fill(served.engine)
        tidied(served.engine)
        began = time.perf_counter()
        while served.engine.connect().execute(text("SELECT count(*) FROM experiment WHERE NOT settled")).scalar():
            time.sleep(0.1)
        print(f"all figures written down after {time.perf_counter() - began:.1f} s")
        tidied(served.engine)
        served.http.get("/v1/experiments?limit=1")  # the first request with a parameter builds the API's description
        print(f"{EXPERIMENTS} experiments x {SEEDS} seeds, pages of 50, {ASKED} times each, ms")
        for name, asked in LISTS.items():
            spent = []
            for _ in range(ASKED):
                begin = time.perf_counter()
                answer = served.http.get("/v1/experiments", params=asked)
                spent.append(1000 * (time.perf_counter() - begin))
                assert answer.status_code == 200, answer.text
            spent.sort()
            print(f"  {name:40} median {spent[len(spent) // 2]:6.1f}  p99 {spent[int(0.99 * len(spent))]:6.1f}")
