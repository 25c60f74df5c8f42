"""What probes found, against a real Postgres: written once, superseded as points are, bounded."""

from typing import Any

import pytest
from sqlalchemy import Engine, text

from service.db.access.principal import Principal
from service.db.experiments import experiments
from service.db.runs import claims, events, leases, probe_results, reaper
from service.db.runs.claims import Claim, SavedCheckpoint
from service.db.session import transaction
from service.errors import Fenced
from service.spec.experiment import Experiment

SPEC = Experiment.model_validate_json(
    """{"dataset": {"kind": "iris"}, "model": {"kind": "linear"}, "loss": {"kind": "cross_entropy"},
    "optimizer": {"kind": "sgd"}, "steps": 1000, "seeds": [0]}"""
)


class Desk:
    """A run, the worker that holds it, and a person who reads."""

    def __init__(self, engine: Engine, principal: Principal) -> None:
        self.engine, self.principal = engine, principal
        with transaction(engine) as connection:
            experiments.add(connection, principal, SPEC, "cpu")
        self.held = self.claim("first")

    def claim(self, lease: str) -> Claim:
        with transaction(self.engine) as connection:
            held = claims.claim(connection, ["cpu"], "w1", lease)
        assert held is not None
        return held

    def write(self, step: int, kind: str = "sharpness", held: Claim | None = None, **data: Any) -> None:
        with transaction(self.engine) as connection:
            leases.save_reading(connection, held or self.held, step, kind, data, {})

    def save(self, step: int) -> None:
        with transaction(self.engine) as connection:
            leases.save_checkpoint(connection, self.held, SavedCheckpoint(step, "/nowhere", "", 1), {})

    def lose(self) -> None:
        with transaction(self.engine) as connection:
            (seen,) = reaper.beats(connection)
            reaper.reap(connection, seen)

    def read(self, kind: str | None = None, after: int = 0, limit: int = 50) -> list[tuple[int, str, dict[str, Any]]]:
        with transaction(self.engine) as connection:
            found = probe_results.of_run(connection, self.principal, self.held.run_id, kind, after, limit)
        return [(each.step, each.kind, each.data) for each in found]


@pytest.fixture
def desk(engine: Engine, principal: Principal) -> Desk:
    return Desk(engine, principal)


def test_a_reading_is_read_as_it_was_written_and_told_once(desk: Desk) -> None:
    desk.write(10, value=float("nan"), list=[1, 2.5])
    desk.write(20, "critical_point", verdict="minimum")
    assert desk.read() == [
        (10, "sharpness", {"value": "NaN", "list": [1, 2.5]}),
        (20, "critical_point", {"verdict": "minimum"}),
    ]
    assert desk.read("critical_point") == desk.read()[1:]
    with transaction(desk.engine) as connection:
        told = [each.data for each in events.after(connection, [desk.held.run_id], 0) if each.kind == "reading"]
    assert [(each["kind"], each["step"]) for each in told] == [("sharpness", 10), ("critical_point", 20)]
    assert desk.read(after=told[0]["id"]) == desk.read()[1:]


def test_a_reading_whose_answer_was_lost_is_written_and_told_once(desk: Desk) -> None:
    for _ in range(3):
        desk.write(10, value=1.0)
    assert desk.read() == [(10, "sharpness", {"value": 1.0})]
    with transaction(desk.engine) as connection:
        kinds = [each.kind for each in events.after(connection, [desk.held.run_id], 0)]
    assert kinds.count("reading") == 1


def test_readings_behind_a_cut_are_superseded(desk: Desk) -> None:
    desk.write(0, "start", initial_loss=2.3)
    desk.write(50, value=1.0)
    desk.save(100)
    desk.write(150, value=2.0)
    desk.lose()
    again = desk.claim("second")
    assert again.start_step == 100
    assert desk.read() == [(0, "start", {"initial_loss": 2.3}), (50, "sharpness", {"value": 1.0})]
    desk.write(150, held=again, value=3.0)
    assert desk.read()[2:] == [(150, "sharpness", {"value": 3.0})]


def test_an_attempt_that_got_nowhere_leaves_no_reading_of_where_it_started(desk: Desk) -> None:
    desk.write(0, "start", initial_loss=2.3)
    desk.lose()
    again = desk.claim("second")
    assert desk.read() == []
    desk.write(0, "start", again, initial_loss=2.3)
    assert desk.read() == [(0, "start", {"initial_loss": 2.3})]


def test_a_late_worker_can_write_no_reading(desk: Desk) -> None:
    desk.lose()
    with pytest.raises(Fenced):
        desk.write(10, value=1.0)


def test_a_run_keeps_a_thousand_readings(desk: Desk) -> None:
    with transaction(desk.engine) as connection:
        statement = """INSERT INTO reading (run_id, attempt, step, kind, data)
            SELECT :run_id, 1, step, 'sharpness', '{}' FROM generate_series(1, :n) AS step"""
        connection.execute(text(statement), {"run_id": desk.held.run_id, "n": probe_results.MAX_READINGS - 1})
    desk.write(2000, value=1.0)
    desk.write(2001, value=1.0)
    assert [step for step, _, _ in desk.read(limit=probe_results.MAX_READINGS + 5)][-1] == 2000
