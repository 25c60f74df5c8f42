"""The life of runs in any order, against a reference that is small enough to be obvious; then the same in Postgres.

Three workers act by turns, each by the last claim it had: so most of what they write after a loss is a late writer's.
SADDLE_MODEL_EXAMPLES says how many stories are told to Postgres; the default fits CI.
"""

import os
import uuid
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import Connection, Engine, text

from service.db.access.principal import Principal
from service.db.access.projects import find_principal, new_key
from service.db.experiments import experiments
from service.db.metrics import read
from service.db.metrics.codec import Chunk, pack
from service.db.runs import claims, derived_runs, desired_state, endings, leases, reaper
from service.db.runs.claims import Claim, SavedCheckpoint
from service.db.runs.reaper import Beat
from service.db.session import make_engine, transaction
from service.errors import Conflict, Fenced
from service.lifecycle import TERMINAL, State
from service.spec.experiment import Experiment

from .reference import Holding, Reference, Run

SPEC = Experiment.model_validate_json(
    """{"dataset": {"kind": "iris"}, "model": {"kind": "linear"}, "loss": {"kind": "cross_entropy"},
    "optimizer": {"kind": "sgd"}, "steps": 1000, "seeds": [0]}"""
)
WORKERS = ("w1", "w2", "w3")
FAILURE = {"code": "diverged", "detail": ""}
TASK = {"probes": [{"kind": "sharpness"}]}
BLOWS = ["checkpoint", "checkpoint", "crash", "crash", "device_fail", "reap", "quarantine"]
worker = st.sampled_from(WORKERS)
steps = st.integers(1, 3)
number = st.integers(0, 4)


class Story(RuleBasedStateMachine):
    """The reference alone; `told` is where another version of the protocol is told the same."""

    def __init__(self) -> None:
        super().__init__()
        self.reference = Reference()
        self.holdings: dict[str, Holding] = {}
        self.ended: dict[int, State] = {}

    def told(self, operation: str, expected: bool, *values: Any) -> None:
        """The reference is told already."""

    def mine(self, name: str) -> Holding:
        return self.holdings[name]

    def some(self, which: int) -> int:
        return which % len(self.reference.runs)

    @initialize()
    def begin(self) -> None:
        self.submit(None)

    @precondition(lambda self: len(self.reference.runs) < 5)
    @rule(pause_at=st.none() | st.integers(1, 6))
    def submit(self, pause_at: int | None) -> None:
        self.reference.submit(pause_at)
        self.told("submit", True, pause_at)

    @precondition(lambda self: len(self.reference.runs) < 6)
    @rule(which=number)
    def probe(self, which: int) -> None:
        which = self.some(which)
        if self.reference.runs[which].parent is None:
            self.reference.probe(which)
            self.told("probe", True, which)

    @rule(name=worker)
    def claim(self, name: str) -> None:
        """A worker holds one run at a time, so it claims once it knows that it holds none."""
        mine = self.holdings.get(name)
        if mine and self.reference.held(mine):
            return
        taken = self.reference.claim(name, lease := uuid.uuid4().hex)
        if taken:
            self.holdings[name] = taken
        self.told("claim", taken is not None, name, lease)

    @precondition(lambda self: self.holdings)
    @rule(data=st.data(), count=steps, again=st.booleans())
    def flush(self, data: Any, count: int, again: bool) -> None:
        mine = self._one(data)
        first, count = mine.step + 1, 0 if self.is_job(mine) else count
        self.told("flush", self.reference.flush(mine, count), mine, first, first + count - 1, again)

    @precondition(lambda self: self.holdings)
    @rule(data=st.data(), count=st.integers(0, 3), again=st.booleans())
    def checkpoint(self, data: Any, count: int, again: bool) -> None:
        mine = self._one(data)
        count = 0 if self.is_job(mine) else count
        if mine.step + count == mine.first and not self.is_job(mine):
            return  # a trainer saves nothing before its first step; a job leaves a state where it looked
        first = mine.step + 1
        self.told("checkpoint", self.reference.checkpoint(mine, count), mine, first, first + count - 1, again)

    @precondition(lambda self: self.holdings)
    @rule(data=st.data())
    def quarantine(self, data: Any) -> None:
        mine = self._one(data)
        if mine.first and mine.step == mine.first and not self.is_job(mine):
            self.told("quarantine", self.reference.quarantine(mine), mine)

    @precondition(lambda self: self.holdings)
    @rule(data=st.data(), state=st.sampled_from([State.SUCCEEDED, State.FAILED, State.CANCELLED]))
    def finish(self, data: Any, state: State) -> None:
        move = {State.SUCCEEDED: "succeed", State.FAILED: "fail", State.CANCELLED: "cancelled"}[state]
        mine = self._one(data)
        self.told("finish", self.reference.end(mine, move, state), mine, state)

    @precondition(lambda self: self.holdings)
    @rule(data=st.data())
    def paused(self, data: Any) -> None:
        mine = self._one(data)
        self.told("finish", self.reference.pause_itself(mine), mine, State.PAUSED)

    @precondition(lambda self: self.holdings)
    @rule(data=st.data())
    def drain(self, data: Any) -> None:
        mine = self._one(data)
        self.told("drain", self.reference.end(mine, "yield"), mine)

    @precondition(lambda self: self.holdings)
    @rule(data=st.data(), kind=st.sampled_from(["crash", "device_fail"]))
    def break_off(self, data: Any, kind: str) -> None:
        mine = self._one(data)
        self.told(kind, getattr(self.reference, kind)(mine), mine)

    @rule(name=worker, blows=st.lists(st.sampled_from(BLOWS), min_size=2, max_size=5))
    def unlucky(self, name: str, blows: list[str]) -> None:
        """One blow after the other: what budgets and damaged checkpoints are for, which chance alone seldom tries."""
        for blow in blows:
            self.claim(name)
            mine = self.holdings.get(name)
            if mine is None or self.reference.held(mine) is None:
                return
            if blow == "checkpoint":
                first, count = mine.step + 1, 0 if self.is_job(mine) else 2
                self.told("checkpoint", self.reference.checkpoint(mine, count), mine, first, first + count - 1, False)
            elif blow == "reap":
                self.told("reap", self.reference.reap(mine.run), mine.run)
            elif blow != "quarantine":
                self.told(blow, getattr(self.reference, blow)(mine), mine)
            elif mine.first and mine.step == mine.first and not self.is_job(mine):
                self.told("quarantine", self.reference.quarantine(mine), mine)

    @rule(which=number, wish=st.sampled_from(["cancel", "pause", "pause", "pause", "resume", "resume", "resume"]))
    def wish(self, which: int, wish: str) -> None:
        which = self.some(which)
        self.told("wish", getattr(self.reference, wish)(which), which, wish)

    @rule(which=number)
    def reap(self, which: int) -> None:
        which = self.some(which)
        self.told("reap", self.reference.reap(which), which)

    def is_job(self, mine: Holding) -> bool:
        return self.reference.runs[mine.run].parent is not None

    def _one(self, data: Any) -> Holding:
        return self.holdings[data.draw(st.sampled_from(sorted(self.holdings)))]

    @invariant()
    def one_holder_and_what_ended_stays_so(self) -> None:
        leases_held = [run.lease for run in self.reference.runs if run.lease]
        assert len(set(leases_held)) == len(leases_held)
        for which, run in enumerate(self.reference.runs):
            assert (run.state is State.RUNNING) == (run.lease is not None)
            assert self.ended.setdefault(which, run.state) is run.state or self.ended[which] not in TERMINAL
            self.ended[which] = run.state


def points(first: int, last: int) -> dict[str, Chunk]:
    at = np.arange(first, last + 1)
    return {"loss": pack(at, 1.0 / at)} if len(at) else {}


class Postgres:
    """The protocol's own statements, each told operation one transaction."""

    def __init__(self, engine: Engine, principal: Principal) -> None:
        self.engine, self.principal = engine, principal
        self.pool = uuid.uuid4().hex
        self.ids: list[str] = []
        self.claims: dict[str, Claim] = {}

    def let_in(self, write: Callable[[Connection], Any], times: int = 1) -> bool:
        """Whether the write was let in; a second time is the repeat after a lost answer."""
        for _ in range(times):
            try:
                with transaction(self.engine) as connection:
                    write(connection)
            except (Fenced, Conflict):
                return False
        return True

    def submit(self, pause_at: int | None) -> bool:
        with transaction(self.engine) as connection:
            (made,) = experiments.add(connection, self.principal, SPEC, self.pool).runs
            connection.execute(SET_PAUSE, {"id": made.id, "pause_at": pause_at})
            self.ids.append(made.id)
        return True

    def probe(self, which: int) -> bool:
        with transaction(self.engine) as connection:
            self.ids.append(derived_runs.probe(connection, self.principal, self.ids[which], TASK, None)[0])
        return True

    def claim(self, name: str, lease: str) -> bool:
        with transaction(self.engine) as connection:
            taken = claims.claim(connection, [self.pool], name, lease)
        if taken is None:
            return False
        with transaction(self.engine) as connection:
            assert claims.claim(connection, [self.pool], name, lease, again=True) == taken, (
                "asked again after a lost answer"
            )
        self.claims[lease] = taken
        return True

    def flush(self, mine: Holding, first: int, last: int, again: bool) -> bool:
        held = self.claims[mine.lease]
        return self.let_in(lambda c: leases.flush(c, held, points(first, last)), 1 + again)

    def checkpoint(self, mine: Holding, first: int, last: int, again: bool) -> bool:
        held = self.claims[mine.lease]
        saved = SavedCheckpoint(last, f"/nowhere/{held.run_id}/a{held.attempt}/{last}", "0" * 64, 1)
        return self.let_in(lambda c: leases.save_checkpoint(c, held, saved, points(first, last)), 1 + again)

    def quarantine(self, mine: Holding) -> bool:
        held = self.claims[mine.lease]
        assert held.checkpoint is not None
        folder = held.checkpoint.folder
        return self.let_in(lambda c: endings.quarantine(c, held, folder))

    def finish(self, mine: Holding, state: State) -> bool:
        failure = FAILURE if state is State.FAILED else None
        return self.let_in(lambda c: endings.finish(c, self.claims[mine.lease], state, {}, failure))

    def drain(self, mine: Holding) -> bool:
        return self.let_in(lambda c: endings.requeue(c, self.claims[mine.lease], {}))

    def crash(self, mine: Holding) -> bool:
        def write(connection: Connection) -> None:
            endings.record_crash(connection, self.claims[mine.lease], "trainer_died", "", {})
            connection.execute(  # nobody waits for the wait here
                text("UPDATE run SET not_before = clock_timestamp() WHERE id = :id"), {"id": self.ids[mine.run]}
            )

        return self.let_in(write)

    def device_fail(self, mine: Holding) -> bool:
        return self.let_in(lambda c: endings.record_device_failure(c, self.claims[mine.lease], "", {}))

    def wish(self, which: int, wish: str) -> bool:
        return self.let_in(lambda c: getattr(desired_state, wish)(c, self.principal, self.ids[which]))

    def reap(self, which: int) -> bool:
        """What stood still is taken back, and what moved since it was seen is not."""
        with transaction(self.engine) as connection:
            seen = [beat for beat in reaper.beats(connection) if beat.run_id == self.ids[which]]
            for beat in seen:
                assert reaper.reap(connection, Beat(beat.run_id, beat.lease, beat.beat - 1)) is None
        with transaction(self.engine) as connection:
            return any(reaper.reap(connection, beat) for beat in seen)

    def agrees(self, expected: list[Run]) -> None:
        """Every run is as the reference has it, and readers see each step once."""
        with transaction(self.engine) as connection:
            rows = {row.id: row for row in connection.execute(FACTS, {"ids": self.ids})}
            for run_id, run in zip(self.ids, expected, strict=True):
                row = rows[run_id]
                found = (row.state, row.attempt, row.lease, row.checkpoint_step, row.crash_count, row.lost_count)
                assert found == (run.state, run.attempt, run.lease, run.checkpoint, run.crashes, run.losses)
                assert (row.device_count, row.pause_at) == (run.devices, run.pause_at)
                assert row.state != State.RUNNING or row.desired == run.desired
                assert row.state != State.QUEUED or row.desired == "run"
                curve = read.curves_of_run(connection, run_id, ["loss"]).get("loss")
                seen = [] if curve is None else curve.steps.tolist()
                assert seen == list(range(1, run.visible + 1))


SET_PAUSE = text("UPDATE run SET pause_at = :pause_at WHERE id = :id")
FACTS = text(
    """
    SELECT id, state, desired, attempt, lease, checkpoint_step, crash_count, lost_count, device_count, pause_at
    FROM run WHERE id = ANY(:ids)
    """
)


def test_the_reference_allows_only_what_the_table_lists() -> None:
    run_state_machine_as_test(Story, settings=_settings(500, 12))


@pytest.fixture(scope="module")
def engine_of_the_model(shared_url: str) -> Any:
    engine = make_engine(shared_url, pool_size=1)
    yield engine
    engine.dispose()


def test_postgres_agrees_with_the_reference(engine_of_the_model: Engine) -> None:
    with transaction(engine_of_the_model) as connection:
        principal = find_principal(connection, new_key(connection, "model", "ada"))
    assert principal is not None

    class Told(Story):
        """The reference and Postgres are told the same."""

        def __init__(self) -> None:
            super().__init__()
            self.postgres = Postgres(engine_of_the_model, principal)

        def told(self, operation: str, expected: bool, *values: Any) -> None:
            assert getattr(self.postgres, operation)(*values) is expected, f"{operation}{values}"

        @invariant()
        def postgres_agrees(self) -> None:
            if self.postgres.ids:
                self.postgres.agrees(self.reference.runs)

    run_state_machine_as_test(Told, settings=_settings(int(os.environ.get("SADDLE_MODEL_EXAMPLES", "25")), 40))


def _settings(examples: int, length: int) -> settings:
    return settings(
        max_examples=examples,
        stateful_step_count=length,
        deadline=None,
        derandomize="SADDLE_MODEL_EXAMPLES" not in os.environ,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
