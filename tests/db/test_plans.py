"""The statements that run often find their rows through an index, however many experiments there are."""

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest
from sqlalchemy import Connection, Engine, text

from service.db.access import projects
from service.db.access.principal import Principal
from service.db.experiments import experiments, lists
from service.db.experiments.lists import Order
from service.db.metrics import experiment_summary, read, series_index
from service.db.metrics.codec import pack
from service.db.runs import claims, events, positions, stream_queries
from service.db.session import make_engine, transaction
from service.spec.experiment import Experiment
from service.spec.filters.language import Figure, parse

EXPERIMENTS, SEEDS = 10_000, 2
BIG = ("experiment", "run", "series", "event", "attempt", "metric_chunk", "experiment_figure", "api_key")
SPEC = Experiment.model_validate_json(
    """{"dataset": {"kind": "iris"}, "model": {"kind": "linear"}, "loss": {"kind": "cross_entropy"},
    "optimizer": {"kind": "sgd"}, "steps": 1000, "seeds": [0, 1]}"""
)
BEST = Figure("best", "val/loss")
LIVE = 9500  # experiments beyond it have not ended
FILL = (
    """INSERT INTO api_key (id, member_id, secret_sha256)
    SELECT 'key_' || lpad(i::text, 26, '0'), (SELECT id FROM member), sha256(i::text::bytea)
    FROM generate_series(1, 5000) i""",
    """INSERT INTO experiment (id, project_id, owner_id, name, spec, spec_hash, idempotency_key, request_hash)
    SELECT 'exp_' || lpad(i::text, 26, '0'), m.project_id, m.id, 'trial ' || i, cast(:spec AS jsonb), md5(i::text),
        'key ' || i, 'hash'
    FROM member m, generate_series(1, :experiments) i""",
    """INSERT INTO run (id, experiment_id, project_id, owner_id, seed, total_steps, pool, state, lease, failure, step,
        attempt)
    SELECT 'run_' || lpad((2 * i + s)::text, 26, '0'), 'exp_' || lpad(i::text, 26, '0'), m.project_id, m.id, s, 1000,
        'cpu', state, CASE WHEN state = 'running' THEN md5(i::text) END,
        CASE WHEN state = 'failed' THEN cast('{"code": "crash_loop"}' AS jsonb) END, 1000, 1
    FROM member m, generate_series(1, :experiments) i, generate_series(0, 1) s, LATERAL (SELECT CASE
        WHEN i <= :live THEN CASE WHEN i % 200 = 0 THEN 'failed' ELSE 'succeeded' END
        WHEN i % 50 = 0 THEN 'running' ELSE 'queued' END AS state) x""",
    """INSERT INTO attempt (run_id, attempt, lease, worker, start_step) SELECT id, 1, '', 'w', 0 FROM run""",
    """INSERT INTO event (project_id, run_id, kind, data)
    SELECT project_id, id, 'state', '{"state": "queued"}' FROM run, generate_series(1, 4)""",
    """INSERT INTO series (run_id, name, n, first_step, last, last_step, min, max)
    SELECT id, name, 1000, 1, length(id) / 7.0, 1000, 0.5, 2
    FROM run, unnest(ARRAY['loss', 'lr', 'val/loss', 'val/accuracy']) name""",
    """INSERT INTO metric_chunk (run_id, series_id, attempt, first_step, last_step, every, n, last, nonfinite, values)
    SELECT run_id, id, 1, 1, 1000, 1, 1000, 0.5, 0, :values FROM series WHERE name = 'loss'""",
)


@dataclass(frozen=True)
class Filled:
    """A database with many experiments of one project, and one of each thing to ask for."""

    engine: Engine
    principal: Principal
    key: str
    experiments: list[str]
    runs: list[str]


@pytest.fixture(scope="module")
def filled(module_url: str) -> Iterator[Filled]:
    engine = make_engine(module_url, name="test")
    known = {"spec": json.dumps(SPEC.normalised()), "experiments": EXPERIMENTS, "live": LIVE}
    known["values"] = pack(range(1, 1001), [0.5] * 1000).values
    with transaction(engine) as connection:
        key = projects.new_key(connection, "default", "ada")
        principal = projects.find_principal(connection, key)
        assert principal is not None
        connection.execute(text("SET LOCAL session_replication_role = replica"))  # no foreign keys are checked
        for statement in FILL:
            connection.execute(
                text(statement), {name: value for name, value in known.items() if f":{name}" in statement}
            )
    with transaction(engine) as connection:
        connection.execute(text("ANALYZE"))
        experiment_ids = [f"exp_{number:026}" for number in range(LIVE - 49, LIVE + 1)]
        run_ids = [f"run_{2 * number:026}" for number in range(LIVE - 49, LIVE + 1)]
    while True:
        with transaction(engine) as connection:
            if not experiment_summary.settle(connection):
                break
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE"))
    yield Filled(engine, principal, key, experiment_ids, run_ids)
    engine.dispose()


STATEMENTS: dict[str, Callable[[Connection, Filled], object]] = {
    "newest experiments": lambda c, at: lists.experiments(c, at.principal, 50, None, Order(), None),
    "experiments of one state": lambda c, at: lists.experiments(
        c, at.principal, 50, parse("state = failed", "experiments"), Order(), None
    ),
    "experiments of one name": lambda c, at: lists.experiments(
        c, at.principal, 50, parse("name = 'trial 77'", "experiments"), Order(), None
    ),
    "experiments by their best loss": lambda c, at: lists.experiments(
        c, at.principal, 50, None, Order(BEST, descending=False), None
    ),
    "progress of a page": lambda c, at: experiments.read_progress(c, at.experiments),
    "summaries of a page": lambda c, at: experiment_summary.of_experiments(c, at.experiments),
    "newest runs": lambda c, at: lists.runs(c, at.principal, 50, None, Order(), None),
    "claim": lambda c, _: claims.claim(c, ["cpu"], "worker", "lease"),
    "position in the queue": lambda c, at: positions.positions(c, [f"run_{2 * EXPERIMENTS:026}"]),
    "events of a run": lambda c, at: events.after(c, at.runs[:1], 5),
    "events of followed runs": lambda c, at: stream_queries.events(c, [(run, 5) for run in at.runs], 100),
    "points of followed runs": lambda c, at: stream_queries.points(c, [(run, 1, 9) for run in at.runs]),
    "series index": lambda c, at: series_index.read_entries(c, at.principal, at.runs),
    "visible chunks": lambda c, at: read.curves_of_run(c, at.runs[0], ["loss"]),
    "first values": lambda c, at: read.first_values(c, at.runs, "loss"),
    "whose key": lambda c, at: projects.find_principal(c, at.key),
    "idempotent request": lambda c, at: experiments.add(c, at.principal, SPEC, "cpu", "key 7", "hash"),
    "settling": lambda c, _: experiment_summary.settle(c),
}


@pytest.mark.parametrize("name", STATEMENTS)
def test_a_hot_statement_scans_no_big_table(filled: Filled, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    nodes = plan(filled, monkeypatch, STATEMENTS[name])
    assert any("Index Name" in node for node in nodes), f"{name} uses no index"
    scans = [node["Relation Name"] for node in nodes if node["Node Type"] == "Seq Scan"]
    assert not set(scans) & set(BIG)


def test_a_name_is_looked_up_and_not_searched_in_all_of_a_project(
    filled: Filled, monkeypatch: pytest.MonkeyPatch
) -> None:
    nodes = plan(filled, monkeypatch, STATEMENTS["experiments of one name"])
    assert "experiment_project_id_name_idx" in [node.get("Index Name") for node in nodes]


def plan(
    filled: Filled, monkeypatch: pytest.MonkeyPatch, run: Callable[[Connection, Filled], object]
) -> list[dict[str, Any]]:
    """The nodes of the plans of every statement that `run` executes."""
    executed = list[tuple[Any, Any]]()
    execute, mine = psycopg.Cursor.execute, threading.get_ident()

    def record(cursor: Any, query: Any, params: Any = None, **options: Any) -> Any:
        if threading.get_ident() == mine and str(query) not in ("", ";"):  # not those of a poller, nor of the pool
            executed.append((query, params))
        return execute(cursor, query, params, **options)

    with filled.engine.connect() as connection:  # nothing is committed
        with monkeypatch.context() as patch:
            patch.setattr(psycopg.Cursor, "execute", record)
            run(connection, filled)
        driver: Any = connection.connection.driver_connection
        plans = [driver.execute(f"EXPLAIN (FORMAT JSON) {query}", params).fetchone()[0] for query, params in executed]
    return [node for each in plans for node in _nodes(each[0]["Plan"])]


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for part in plan.get("Plans", ()):
        yield from _nodes(part)
