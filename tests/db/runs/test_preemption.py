"""A run makes way for one that has waited too long: whose, for whom, and what becomes of it."""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from sqlalchemy import Engine, text

from service.db.metrics.codec import pack
from service.db.runs import desired_state, endings, events, leases, positions, preemption, runs, workers
from service.db.runs.claims import Claim, SavedCheckpoint
from service.db.runs.pools import Pool
from service.db.runs.preemption import Holder, Somebody, Waiting, choose
from service.db.session import transaction
from service.lifecycle import ATTEMPT_BUDGET, CRASH_BUDGET, DesiredState, State
from service.turn_policy import TurnPolicy

from .turn_steps import Enter, finish, pass_time, submit, take

ONE = frozenset({"devices=1"})
BUSY = {"cpu": Pool("cpu", seen=True, serving=[ONE])}


def holder(run: str, use_s: float, *, project: str = "a", owner: str = "ada", **more: Any) -> Holder:
    fields: dict[str, Any] = {"may_yield": True, "trained_s": 100.0, "has": ONE} | more
    whole = fields.pop("project_use_s", use_s)
    return Holder(run, 1, "cpu", owner=Somebody(project, owner, whole, use_s), **fields)


def waiter(
    run: str, use_s: float = 0.0, waited_s: float = 30.0, *, project: str = "b", owner: str = "bob", **more: Any
) -> Waiting:
    fields: dict[str, Any] = {"needs": ONE} | more
    whole = fields.pop("project_use_s", use_s)
    return Waiting(run, "cpu", owner=Somebody(project, owner, whole, use_s), waited_s=waited_s, **fields)


def chosen(
    waiting: list[Waiting], holders: list[Holder], served: set[str] = frozenset(), pool: Pool = BUSY["cpu"]
) -> list[str]:  # type: ignore[assignment]
    pairs = choose(waiting, holders, served, {"cpu": pool}, 20.0)
    return [f"{held.run_id} for {each.run_id}" for held, each in pairs]


def test_the_most_favoured_run_makes_way_for_the_first_in_the_order() -> None:
    held = [holder("h1", 50, project="c"), holder("h2", 900, trained_s=40), holder("h3", 900, trained_s=80)]
    assert chosen([waiter("w1"), waiter("w2", 25, project="d")], held) == ["h3 for w1", "h2 for w2"]


@pytest.mark.parametrize(
    ("waiting", "held"),
    [
        (waiter("w", waited_s=19.9), holder("h", 900)),
        (waiter("w", 450), holder("h", 900)),
        (waiter("w"), holder("h", 900, may_yield=False)),
        (waiter("w", needs=frozenset({"devices=1", "timm"})), holder("h", 900)),
        (waiter("w", project="a", owner="ada"), holder("h", 900)),
        (waiter("w", 450, project="a", owner="eve"), holder("h", 900)),
        (waiter("w", project="a", owner="eve"), holder("h", 500, priority=1)),
    ],
    ids=["not long", "half the use", "just begun", "other packages", "same person", "half of a colleague", "priority"],
)
def test_nobody_makes_way_for(waiting: Waiting, held: Holder) -> None:
    assert chosen([waiting], [held]) == []
    assert chosen([waiter("w", 449, 20.0)], [holder("h", 900)]) == ["h for w"], "the other side of the limits"
    assert chosen([waiter("w", 449, 20.0, project="a", owner="eve")], [holder("h", 900)]) == ["h for w"]


def test_who_has_no_more_than_an_equal_share_now_keeps_it() -> None:
    others = [holder(f"b{number}", 0, project="b") for number in range(2)]
    mine = [holder(f"a{number}", 900) for number in range(2)]
    assert chosen([waiter("w")], [*mine, *others]) == []
    assert chosen([waiter("w")], [*mine, holder("a3", 900), others[0]]) == ["a0 for w"]


def test_none_is_freed_for_a_run_that_would_not_get_the_device() -> None:
    held = [holder("h", 900)]
    first = waiter("first", waited_s=5, project="c")
    assert chosen([first, waiter("w")], held) == [], "the first may not have one freed yet, and takes any"
    unable = waiter("first", waited_s=5, project="c", needs=frozenset({"devices=4"}))
    assert chosen([unable, waiter("w")], held) == ["h for w"]
    assert chosen([waiter("w")], held, served={"w"}) == []
    idle = Pool("cpu", seen=True, serving=[ONE], idle=[(ONE, None)])
    assert chosen([waiter("w")], held, pool=idle) == []


@pytest.fixture
def training(engine: Engine, enter: Enter) -> Claim:
    """The only worker trains a run of ada's, for long."""
    submit(engine, enter("a", "ada"))
    held = take(engine)
    with transaction(engine) as connection:
        workers.announce(connection, "w1", "cpu", "host", 1, "1", {"kind": "cpu"})
        workers.beat(connection, "w1", "busy", held.run_id)
        leases.flush(connection, held, {"loss": pack(np.arange(1, 6), np.ones(5))})
    pass_time(engine, 60)
    return held


def preempt(engine: Engine) -> list[tuple[str, str]]:
    with transaction(engine) as connection:
        return [(held.run_id, each.run_id) for held, each in preemption.preempt(connection)]


def test_a_run_makes_way_once_and_waits_without_a_fault_on_its_account(
    engine: Engine,
    enter: Enter,
    training: Claim,
) -> None:
    (waiting,) = submit(engine, enter("b", "bob"))
    assert preempt(engine) == [], "it has waited a moment only"
    pass_time(engine, 41)
    assert preempt(engine.execution_options(turns=TurnPolicy(preempt_after_s=0))) == []
    assert preempt(engine) == [(training.run_id, waiting)]
    assert preempt(engine) == []
    with transaction(engine) as connection:
        assert leases.fence(connection, training) is DesiredState.YIELD
        saved = SavedCheckpoint(5, "/nowhere/5", "0" * 64, 1, "wish")
        leases.save_checkpoint(connection, training, saved, {})
        assert endings.make_way(connection, training, {}) is State.QUEUED
    (row,) = look(engine, "SELECT crash_count, lost_count, checkpoint_step FROM run WHERE id = :id", id=training.run_id)
    assert row == {"crash_count": 0, "lost_count": 0, "checkpoint_step": 5}
    assert preempt(engine) == [], "its device is on its way"
    with transaction(engine) as connection:
        told = [event for event in events.after(connection, [training.run_id], 0) if event.kind == "preempted"]
        assert [event.data["why"] for event in told] == ["preempted: another project has waited 41 s"]
        (ending,) = [each.detail for each in runs.attempts(connection, training.run_id)]
        assert ending == "preempted: another project has waited 41 s"
        assert positions.positions(connection, [training.run_id])[training.run_id].reason.startswith("it makes way for")
    held = take(engine)
    assert held.run_id == waiting
    finish(engine, held)
    again = take(engine)
    assert (again.run_id, again.start_step) == (training.run_id, 5)
    with transaction(engine) as connection:
        assert leases.fence(connection, again) is DesiredState.RUN


def test_a_colleague_is_named(engine: Engine, enter: Enter, training: Claim) -> None:
    (waiting,) = submit(engine, enter("a", "eve"))
    pass_time(engine, 41)
    assert preempt(engine) == [(training.run_id, waiting)]
    with transaction(engine) as connection:
        (told,) = [event for event in events.after(connection, [training.run_id], 0) if event.kind == "preempted"]
    assert (told.data["why"], told.data["for"]) == ("preempted: eve has waited 41 s", waiting)


@pytest.mark.parametrize("what", ["just begun", "no step yet", "asked to pause", "its checkpoints fail", "a probe job"])
def test_it_trains_on(engine: Engine, enter: Enter, training: Claim, what: str) -> None:
    submit(engine, enter("b", "bob"))
    pass_time(engine, 41)
    with transaction(engine) as connection:
        if what == "just begun":
            connection.execute(text("UPDATE attempt SET started_at = clock_timestamp() - make_interval(secs => 19)"))
        elif what == "no step yet":
            connection.execute(text("UPDATE run SET step = 0"))
        elif what == "asked to pause":
            connection.execute(text("UPDATE run SET desired = 'pause' WHERE state = 'running'"))
        elif what == "its checkpoints fail":
            events.add(connection, training.run_id, "checkpoint_failed", {}, by="worker w1", why="the disk is full")
        else:
            connection.execute(
                text("UPDATE run SET task = '{}', relation = 'probe', parent_run_id = id WHERE state = 'running'")
            )
    assert preempt(engine) == []


def test_people_may_still_pause_and_cancel_a_run_that_makes_way(
    engine: Engine,
    enter: Enter,
    training: Claim,
) -> None:
    ada = enter("a", "ada")
    submit(engine, enter("b", "bob"))
    pass_time(engine, 41)
    preempt(engine)
    with transaction(engine) as connection:
        desired_state.resume(connection, ada, training.run_id)
        assert leases.fence(connection, training) is DesiredState.YIELD, "a resume does not take the device back"
        desired_state.pause(connection, ada, training.run_id)
        assert leases.fence(connection, training) is DesiredState.PAUSE
        assert endings.make_way(connection, training, {}) is State.PAUSED


def test_any_number_of_processes_preempt_once(engine: Engine, enter: Enter, training: Claim) -> None:
    submit(engine, enter("b", "bob"))
    pass_time(engine, 41)
    together = threading.Barrier(4)

    def look_at_once(_: int) -> int:
        together.wait()
        return len(preempt(engine))

    with ThreadPoolExecutor(4) as threads:
        assert sum(threads.map(look_at_once, range(4))) == 1


def test_preempted_attempts_are_no_failures(engine: Engine, enter: Enter, training: Claim) -> None:
    held = training
    for _ in range(ATTEMPT_BUDGET + 1):
        with transaction(engine) as connection:
            endings.make_way(connection, held, {})
        held = take(engine)
    with transaction(engine) as connection:
        assert CRASH_BUDGET > 1
        assert endings.record_crash(connection, held, "trainer_died", "", {}) is State.QUEUED


def look(engine: Engine, statement: str, **values: Any) -> list[dict[str, Any]]:
    with transaction(engine) as connection:
        return [dict(row) for row in connection.execute(text(statement), values).mappings()]
