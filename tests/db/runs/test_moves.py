"""The one table of moves and the statements agree: every move is tried from every state, under every wish."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

import pytest
from sqlalchemy import Connection, text

from service.db.access.principal import Principal
from service.db.access.projects import find_principal, new_key
from service.db.experiments import experiments
from service.db.runs import claims, desired_state, endings, leases, reaper
from service.db.runs.claims import Claim, SavedCheckpoint
from service.db.runs.reaper import Beat
from service.db.session import make_engine
from service.errors import Conflict, Fenced
from service.lifecycle import (
    ATTEMPT_BUDGET,
    BUDGETS,
    MOVES,
    PERMANENT,
    TERMINAL,
    WISHES,
    DesiredState,
    FailureClass,
    State,
    allowed,
    backoff_s,
    failure_class,
)
from service.spec.experiment import Experiment

SPEC = Experiment.model_validate_json(
    """{"dataset": {"kind": "iris"}, "model": {"kind": "linear"}, "loss": {"kind": "cross_entropy"},
    "optimizer": {"kind": "sgd"}, "steps": 1000, "seeds": [0]}"""
)
FAILURE = {"code": "diverged", "detail": ""}
POOL = "moves"
OF_PARENT = SavedCheckpoint(5, "/nowhere/parent", "0" * 64, 1)
SAVED = SavedCheckpoint(10, "/nowhere/a1/10", "0" * 64, 1)


@dataclass(frozen=True)
class Scene:
    """A run, who asks, and the claim that somebody once had."""

    connection: Connection
    principal: Principal
    held: Claim


Try = Callable[[Scene], Any]
TRIES: dict[str, Try] = {
    "claim": lambda s: claims.claim(s.connection, [POOL], "w2", "another"),
    "flush": lambda s: leases.flush(s.connection, s.held, {}),
    "checkpoint": lambda s: leases.save_checkpoint(s.connection, s.held, SAVED, {}),
    "succeed": lambda s: endings.finish(s.connection, s.held, State.SUCCEEDED, {}),
    "fail": lambda s: endings.finish(s.connection, s.held, State.FAILED, {}, FAILURE),
    "crash": lambda s: endings.record_crash(s.connection, s.held, "trainer_died", "", {}),
    "device_fail": lambda s: endings.record_device_failure(s.connection, s.held, "", {}),
    "device_full": lambda s: endings.record_cuda_oom(s.connection, s.held, {}, "", {"step": 3}),
    "yield": lambda s: endings.requeue(s.connection, s.held, {}),
    "paused": lambda s: endings.finish(s.connection, s.held, State.PAUSED, {}),
    "pause_by_server": lambda s: endings.pause_by_server(s.connection, s.held, {}, "disk_full", ""),
    "cancelled": lambda s: endings.finish(s.connection, s.held, State.CANCELLED, {}),
    "quarantine": lambda s: endings.quarantine(s.connection, s.held, "/nowhere/own"),
    "quarantine the parent's": lambda s: endings.quarantine(s.connection, s.held, OF_PARENT.folder),
    "cancel": lambda s: desired_state.cancel(s.connection, s.principal, s.held.run_id),
    "pause": lambda s: desired_state.pause(s.connection, s.principal, s.held.run_id),
    "resume": lambda s: desired_state.resume(s.connection, s.principal, s.held.run_id),
    "reap": lambda s: reaper.reap(s.connection, Beat(s.held.run_id, s.held.lease, 0)),
}
PUT = text(
    """
    UPDATE run SET state = :state, desired = :wish, beat = 0, lease = CASE WHEN :state = 'running' THEN :lease END,
        failure = CASE WHEN :state = 'failed' THEN jsonb_build_object('code', 'diverged') END,
        crash_count = :crash, lost_count = :lost, device_count = :device, device_worker = 'another'
    WHERE id = :id
    """
)


@pytest.fixture(scope="module")
def scene(shared_url: str) -> Iterator[Scene]:
    """One run; each try puts it where it wants it, and is rolled back."""
    engine = make_engine(shared_url, pool_size=1)
    with engine.connect() as connection:
        principal = find_principal(connection, new_key(connection, "moves", "ada"))
        assert principal is not None
        for pool in (POOL, "parents"):
            experiments.add(connection, principal, SPEC, pool)
        held, parent = (claims.claim(connection, [pool], "w1", pool) for pool in (POOL, "parents"))
        assert held is not None
        assert parent is not None
        leases.save_checkpoint(connection, parent, OF_PARENT, {})
        yield Scene(connection, principal, held)
        connection.rollback()
    engine.dispose()


def test_every_move_of_the_table_is_tried() -> None:
    assert {move.split()[0] for move in TRIES} | {"submit"} == set(MOVES)


@pytest.mark.parametrize("move", sorted(MOVES.keys() - {"submit"}))
def test_a_move_happens_from_its_origins_to_its_targets_and_from_nowhere_else(scene: Scene, move: str) -> None:
    reached: set[State] = set()
    tries = [each for name, each in TRIES.items() if name.split()[0] == move]
    for origin, desired, spent, attempt in product(State, WISHES, (False, True), tries):
        after = _try(scene, attempt, origin, desired, spent)
        if after is None:
            assert origin not in MOVES[move].origins, f"{move} from {origin} with {desired} desired was refused"
        elif after is not origin or origin in MOVES[move].origins:
            assert allowed(move, origin, after), f"{move} led from {origin} with {desired} desired to {after}"
            reached.add(after)
    assert reached == MOVES[move].targets, "the table lists what never happens"


def _try(scene: Scene, attempt: Try, origin: State, desired: DesiredState, spent: bool) -> State | None:
    """The state after; None: refused. `spent`: one more failure of any kind is beyond its budget."""
    left = 1 if spent else 100
    values = {kind.value: budget.failures - left for kind, budget in BUDGETS.items()}
    values |= {"device": BUDGETS[FailureClass.DEVICE].failures - 1 if spent else 0}
    one = {"id": scene.held.run_id, "lease": POOL}
    with scene.connection.begin_nested() as savepoint:
        scene.connection.execute(PUT, {**values, **one, "state": origin.value, "wish": desired.value})
        try:
            made = attempt(scene)
            after = State(scene.connection.execute(text("SELECT state FROM run WHERE id = :id"), one).scalar_one())
        except (Fenced, Conflict):
            return None
        finally:
            savepoint.rollback()
    return None if made is None and after is origin else after


def test_permanent_failures_are_told_from_those_that_are_tried_again() -> None:
    assert {failure_class(kind) for kind in PERMANENT} == {FailureClass.PERMANENT}
    assert failure_class("device_failed") is FailureClass.DEVICE
    for kind in ("trainer_died", "stalled", "cuda_oom", "what nobody listed"):
        assert failure_class(kind) is FailureClass.CRASH


def test_each_class_that_is_tried_again_has_a_budget_below_the_cap() -> None:
    assert set(BUDGETS) == set(FailureClass) - {FailureClass.PERMANENT}
    assert all(1 < budget.failures < ATTEMPT_BUDGET for budget in BUDGETS.values())


def test_the_wait_doubles_up_to_ten_minutes() -> None:
    assert [backoff_s(failures) for failures in (1, 2, 3, 4, 20)] == [0, 10, 20, 40, 600]


def test_terminal_states_are_the_origin_of_no_move() -> None:
    assert all(not TERMINAL & move.origins for move in MOVES.values())
