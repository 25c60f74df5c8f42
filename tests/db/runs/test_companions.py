"""Companions of a claimed run: those that fit, in their order, each with its own attempt; found again by lease."""

import uuid
from collections.abc import Sequence
from typing import Any

import pytest
from sqlalchemy import Engine, text

from service.db.access import quota_use, quotas
from service.db.access.principal import Principal
from service.db.experiments import experiments
from service.db.runs import claims, companions, derived_runs, endings, leases, reaper, turns, workers
from service.db.runs.claims import Claim, SavedCheckpoint
from service.db.session import transaction
from service.lifecycle import State
from service.spec.experiment import Experiment

from .turn_steps import Enter, pass_time

SPEC = Experiment.model_validate_json(
    """{"dataset": {"kind": "iris"}, "model": {"kind": "linear"}, "loss": {"kind": "cross_entropy"},
    "optimizer": {"kind": "sgd"}, "steps": 1000}"""
)


def submit(engine: Engine, by: Principal, seeds: int = 1, **changes: Any) -> list[str]:
    spec = SPEC.model_copy(update={"seeds": tuple(range(seeds)), **changes})
    with transaction(engine) as connection:
        return [run.id for run in experiments.add(connection, by, spec, "cpu").runs]


def new_leases(count: int) -> list[str]:
    return [uuid.uuid4().hex for _ in range(count)]


def take(engine: Engine, given: Sequence[str], again: bool = False, worker: str = "w1") -> list[Claim]:
    """Claim as a worker does that trains at most as many runs at once as it gives leases."""
    first, *others = given
    with transaction(engine) as connection:
        claim = claims.claim(connection, ["cpu"], worker, first, again)
        return [] if claim is None else [claim, *companions.claim(connection, claim, others, again)]


def ids(claimed: Sequence[Claim]) -> list[str]:
    return [each.run_id for each in claimed]


def sql(engine: Engine, statement: str, **values: Any) -> list[dict[str, Any]]:
    with transaction(engine) as connection:
        found = connection.execute(text(statement), values)
        return [dict(row) for row in found.mappings()] if found.returns_rows else []


def test_runs_that_differ_in_values_are_claimed_in_their_order_and_each_is_held(
    engine: Engine, principal: Principal
) -> None:
    made = submit(engine, principal, 3)
    quick = submit(engine, principal, 2, optimizer=SPEC.optimizer.model_copy(update={"lr": 0.5}), steps=10)
    other = submit(engine, principal, 1, batch_size=8)
    given = new_leases(8)
    claimed = take(engine, given)
    assert sorted(ids(claimed)) == sorted(made + quick)
    assert sorted(each.lease for each in claimed) == sorted(given[:5])
    assert {each.run_id: each.total_steps for each in claimed} == dict.fromkeys(made, 1000) | dict.fromkeys(quick, 10)
    assert [each.start_step for each in claimed] == [0] * 5
    for each in claimed:
        row = sql(engine, "SELECT * FROM attempt WHERE run_id = :id", id=each.run_id)
        assert [(a["attempt"], a["lease"], a["worker"], a["pack_runs"]) for a in row] == [(1, each.lease, "w1", 5)]
        said = sql(engine, "SELECT data FROM event WHERE run_id = :id AND kind = 'state' ORDER BY id", id=each.run_id)
        assert [event["data"]["state"] for event in said] == ["queued", "running"]
        with transaction(engine) as connection:
            leases.fence(connection, each)
    assert ids(take(engine, new_leases(8))) == other


def test_as_many_are_claimed_as_there_are_leases(engine: Engine, principal: Principal) -> None:
    made = submit(engine, principal, 5)
    assert ids(take(engine, new_leases(1))) == made[:1]
    assert ids(take(engine, new_leases(3))) == made[1:4]
    assert ids(take(engine, new_leases(3))) == made[4:]
    shared = sql(engine, "SELECT pack_runs FROM attempt ORDER BY run_id")
    assert sorted(each["pack_runs"] for each in shared) == [1, 1, 3, 3, 3]


def test_idle_workers_get_their_share(engine: Engine, principal: Principal) -> None:
    submit(engine, principal, 10)
    with transaction(engine) as connection:
        for name, pool, state in (("w2", "cpu", "idle"), ("w3", "cpu", "busy"), ("w4", "other", "idle")):
            workers.announce(connection, name, pool, "host", 1, "1", {})
            workers.beat(connection, name, state)
    assert len(take(engine, new_leases(16))) == 5
    with transaction(engine) as connection:
        workers.beat(connection, "w2", "busy")
    assert len(take(engine, new_leases(16))) == 5


def test_a_claim_whose_answer_was_lost_is_found_again_by_its_leases(engine: Engine, principal: Principal) -> None:
    submit(engine, principal, 6)
    given = new_leases(4)
    first = take(engine, given)
    again = take(engine, given, again=True)
    assert {each.run_id: each.lease for each in again} == {each.run_id: each.lease for each in first}
    assert again[0].run_id == first[0].run_id
    assert sql(engine, "SELECT count(*) AS n FROM run WHERE state = 'running'")[0]["n"] == 4
    assert len(take(engine, new_leases(4), again=True)) == 2, "leases that hold nothing claim"


def test_nobody_elses_runs_and_none_that_crashed_are_companions(
    engine: Engine, principal: Principal, enter: Enter
) -> None:
    colleague, stranger = enter("default", "bob"), enter("elsewhere", "ada")
    crashed, lost, later, alone = (submit(engine, principal)[0] for _ in range(4))
    for run, change in ((crashed, "crash_count = 1"), (lost, "lost_count = 2"), (later, "not_before = 'infinity'")):
        sql(engine, f"UPDATE run SET {change} WHERE id = :id", id=run)
    sql(engine, "UPDATE run SET pack_key = NULL WHERE id = :id", id=alone)
    others = {*submit(engine, colleague, 2), *submit(engine, stranger, 2)}
    mine = submit(engine, principal, 2)
    found = []
    while claimed := take(engine, new_leases(9)):
        found.append(ids(claimed))
        for each in claimed:
            with transaction(engine) as connection:
                endings.finish(connection, each, State.SUCCEEDED, {})
    assert sorted(map(sorted, found)) == sorted(
        [[crashed], [lost], [alone], sorted(mine), *([*pair] for pair in _by_owner(engine, others))]
    )


def _by_owner(engine: Engine, run_ids: set[str]) -> list[list[str]]:
    rows = sql(
        engine,
        "SELECT array_agg(id ORDER BY id) AS ids FROM run WHERE id = ANY(:ids) GROUP BY owner_id",
        ids=list(run_ids),
    )
    return [list(row["ids"]) for row in rows]


def test_the_quota_of_running_runs_counts_each(engine: Engine, principal: Principal) -> None:
    submit(engine, principal, 9)
    with transaction(engine) as connection:
        quotas.set_limit(connection, "running_runs", "person", None, None, 5)
    held = take(engine, new_leases(3))
    assert len(held) == 3
    assert len(take(engine, new_leases(8), worker="w2")) == 2
    assert take(engine, new_leases(8), worker="w3") == []
    with transaction(engine) as connection:
        quotas.set_limit(connection, "running_runs", "person", None, None, None)


def test_runs_that_train_together_share_the_time(engine: Engine, principal: Principal) -> None:
    submit(engine, principal, 4)
    held = take(engine, new_leases(4))
    pass_time(engine, 100)
    with transaction(engine) as connection:
        (share,) = [each for each in turns.shares(connection, ["cpu"]) if each.running]
    assert share.use_s == pytest.approx(100, rel=0.1)
    for each in held[:3]:
        with transaction(engine) as connection:
            endings.finish(connection, each, State.SUCCEEDED, {})
    (seen,) = (each for each in _beats(engine) if each.run_id == held[3].run_id)
    with transaction(engine) as connection:
        reaper.reap(connection, seen)
        (share,) = [each for each in turns.shares(connection, ["cpu"]) if each.use_s > 0]
    assert share.use_s == pytest.approx(100, rel=0.1)
    trained = sql(engine, "SELECT trained_s FROM run")
    assert [each["trained_s"] for each in trained] == [pytest.approx(25, rel=0.1)] * 4


def _beats(engine: Engine) -> list[reaper.Beat]:
    with transaction(engine) as connection:
        return reaper.beats(connection)


def test_a_companion_goes_on_from_its_checkpoint(engine: Engine, principal: Principal) -> None:
    submit(engine, principal, 3)
    held = take(engine, new_leases(3))
    with transaction(engine) as connection:
        leases.save_checkpoint(connection, held[1], SavedCheckpoint(20, "/nowhere/step-20", "0" * 64, 10), {})
    for each in held:
        with transaction(engine) as connection:
            endings.requeue(connection, each, {})
    again = {each.run_id: each for each in take(engine, new_leases(3))}
    assert [again[each.run_id].start_step for each in held] == [0, 20, 0]
    assert {each.attempt for each in again.values()} == {2}
    rows = sql(engine, "SELECT run_id, start_step, pack_runs FROM attempt WHERE attempt = 2")
    assert {row["run_id"]: row["start_step"] for row in rows} == {
        run_id: each.start_step for run_id, each in again.items()
    }
    assert {row["pack_runs"] for row in rows} == {3}
    cut = sql(engine, "SELECT cut_step FROM attempt WHERE attempt = 1 AND run_id = :id", id=held[1].run_id)
    assert cut == [{"cut_step": 20}]


def test_a_run_that_comes_of_another_trains_alone(engine: Engine, principal: Principal) -> None:
    (parent,) = submit(engine, principal)
    (held,) = take(engine, new_leases(1))
    with transaction(engine) as connection:
        endings.finish(connection, held, State.CANCELLED, {})
        derived_runs.retry(connection, principal, parent, "start")
    submit(engine, principal, 2)
    assert len(take(engine, new_leases(9))) == 1
    assert len(take(engine, new_leases(9))) == 2


def test_a_quota_that_no_number_of_runs_reaches_is_no_limit(engine: Engine, principal: Principal) -> None:
    with transaction(engine) as connection:
        quotas.set_limit(connection, "running_runs", "person", None, None, 2413631241920)
        quota_use.count(connection)
        limits = connection.execute(text("SELECT DISTINCT running_limit FROM quota_use")).scalars().all()
    assert limits == [None]
