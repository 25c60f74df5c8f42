"""Somebody who submits runs to a slot under test, and looks at what became of them; and the slot's settings."""

from pathlib import Path
from typing import Any

from sqlalchemy import Engine, text

from service.db.access.principal import Principal
from service.db.access.projects import find_principal, new_key
from service.db.experiments import experiments
from service.db.runs import derived_runs, runs
from service.db.session import transaction
from service.nonfinite import dumps
from service.settings import Settings
from service.spec.experiment import Experiment
from tests.harness.waiting import until

STOPPED = ("succeeded", "failed", "cancelled", "paused")
Row = dict[str, Any]


class Desk:
    """Submits runs of the troubled model, and looks at what became of them."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        with transaction(engine) as connection:
            found = find_principal(connection, new_key(connection, "default", "ada"))
        assert found is not None
        self.principal: Principal = found

    def sql(self, statement: str, **values: Any) -> list[Row]:
        with transaction(self.engine) as connection:
            found = connection.execute(text(statement), values)
            return [dict(row) for row in found.mappings()] if found.returns_rows else []

    def submit(
        self,
        trouble: str = "none",
        *,
        steps: int = 20,
        limit_s: float | None = None,
        determinism: str = "strict",
        pool: str = "cpu",
        crashes: int = 0,
        pause_at: int | None = None,
        **more: Any,
    ) -> str:
        parts: Row = {"dataset": {"kind": "iris"}, "model": {"kind": "linear"}, "loss": {"kind": "cross_entropy"}}
        parts |= {"optimizer": {"kind": "sgd"}, "steps": steps, "seeds": (0,), "determinism": determinism}
        spec = Experiment.model_validate(parts | {"evaluate": {"every_steps": 5}})
        with transaction(self.engine) as connection:
            experiment_id = experiments.add(connection, self.principal, spec, "nobody").id
            (run,) = runs.of_experiments(connection, [experiment_id])
            model = {"kind": "troubled", "trouble": trouble, **more}
            known = connection.execute(text("SELECT spec FROM experiment WHERE id = :id"), {"id": experiment_id})
            changed = {"spec": dumps(known.scalar_one() | {"model": model}), "id": experiment_id}
            connection.execute(text("UPDATE experiment SET spec = cast(:spec AS jsonb) WHERE id = :id"), changed)
            ready = {"id": run.id, "limit_s": limit_s, "pool": pool, "crashes": crashes}
            ready |= {"pause_at": pause_at}
            change = "UPDATE run SET pool = :pool, limit_s = :limit_s, crash_count = :crashes, pause_at = :pause_at"
            connection.execute(text(f"{change} WHERE id = :id"), ready)
        return run.id

    def probe(self, run_id: str, *probes: Row) -> str:
        with transaction(self.engine) as connection:
            return derived_runs.probe(connection, self.principal, run_id, {"probes": list(probes)}, None)[0]

    def log(self, run_id: str) -> list[Row]:
        return self.sql("SELECT * FROM log_line WHERE run_id = :id ORDER BY attempt, number", id=run_id)

    def readings(self, run_id: str) -> list[Row]:
        kinds = ["gradient_check", "autopsy"]
        return self.sql("SELECT * FROM reading WHERE run_id = :id AND kind = ANY(:kinds)", id=run_id, kinds=kinds)

    def wish(self, run_id: str, wish: str) -> None:
        self.sql("UPDATE run SET desired = :wish WHERE id = :id AND state = 'running'", wish=wish, id=run_id)

    def run(self, run_id: str) -> Row:
        return self.sql("SELECT * FROM run WHERE id = :id", id=run_id)[0]

    def stopped(self, run_id: str, seconds: float = 90.0) -> Row:
        return until(lambda: row if (row := self.run(run_id))["state"] in STOPPED else None, seconds)  # type: ignore[no-any-return]

    def stepping(self, run_id: str, step: int = 2) -> Row:
        return until(lambda: row if (row := self.run(run_id))["step"] >= step else None)  # type: ignore[no-any-return]

    def attempts(self, run_id: str) -> list[Row]:
        return self.sql("SELECT * FROM attempt WHERE run_id = :id ORDER BY attempt", id=run_id)

    def evidence(self, run_id: str, attempt: int = 1) -> Row:
        """What the end of an attempt left to look at."""
        found = self.sql(
            "SELECT data FROM event WHERE run_id = :id AND data->>'attempt' = :attempt AND data ? 'evidence'",
            id=run_id,
            attempt=str(attempt),
        )
        return dict(found[0]["data"]["evidence"])

    def worker(self, name: str) -> Row:
        return self.sql("SELECT * FROM worker WHERE name = :name", name=name)[0]

    def now(self, run_id: str) -> None:
        """Spend the wait before the next attempt."""
        self.sql("UPDATE run SET not_before = clock_timestamp() WHERE id = :id", id=run_id)


def settings(url: str, folder: Path, name: str, **more: Any) -> Settings:
    quick = {"poll_s": 0.1, "beat_s": 0.5, "wish_s": 0.3, "flush_s": 0.05, "stall_s": 1.5, "drain_s": 2.0}
    quick |= {"first_step_s": 8.0, "spool_bytes": 20_000, "system_s": 0.5, "pack_runs": 1}
    return Settings(database_url=url, data_dir=folder, worker_name=name, **(quick | more))
