"""The run protocol against a real Postgres: who holds a run, what a late worker may do, what readers see."""

import threading
import time
import uuid
from collections.abc import Callable

import numpy as np
import pytest
from sqlalchemy import Connection, Engine, text

from service.db.access.principal import Principal
from service.db.experiments import experiments
from service.db.metrics import read, write
from service.db.metrics.codec import Chunk, pack
from service.db.runs import claims, desired_state, endings, events, leases, log_lines, reaper, runs
from service.db.runs.claims import Claim, SavedCheckpoint
from service.db.session import transaction
from service.errors import Conflict, Fenced
from service.lifecycle import CRASH_BUDGET, LOST_BUDGET, DesiredState, State
from service.spec.experiment import Experiment

SPEC = Experiment.model_validate_json(
    """{"dataset": {"kind": "iris"}, "model": {"kind": "linear"}, "loss": {"kind": "cross_entropy"},
    "optimizer": {"kind": "sgd"}, "steps": 1000, "seeds": [0]}"""
)


@pytest.fixture
def submit(engine: Engine, principal: Principal) -> Callable[..., list[str]]:
    def submitted(seeds: int = 1) -> list[str]:
        spec = SPEC.model_copy(update={"seeds": tuple(range(seeds))})
        with transaction(engine) as connection:
            experiment_id = experiments.add(connection, principal, spec, "cpu").id
            return [run.id for run in runs.of_experiments(connection, [experiment_id])]

    return submitted


def take(engine: Engine, lease: str | None = None) -> Claim | None:
    with transaction(engine) as connection:
        return claims.claim(connection, ["cpu"], "w1", lease or uuid.uuid4().hex)


def must_take(engine: Engine) -> Claim:
    held = take(engine)
    assert held is not None
    return held


def points(first: int, last: int, scale: float = 1.0) -> dict[str, Chunk]:
    steps = np.arange(first, last + 1)
    return {"loss": pack(steps, scale / steps), "lr": pack(steps, np.full(len(steps), 0.1))}


def checkpoint(engine: Engine, held: Claim, step: int, chunks: dict[str, Chunk]) -> list[str]:
    saved = SavedCheckpoint(step, f"/nowhere/a{held.attempt}/step-{step}", "0" * 64, 10)
    with transaction(engine) as connection:
        return leases.save_checkpoint(connection, held, saved, chunks)[1]


def flush(engine: Engine, held: Claim, chunks: dict[str, Chunk]) -> DesiredState:
    with transaction(engine) as connection:
        return leases.flush(connection, held, chunks)


def curve(engine: Engine, run_id: str, name: str = "loss") -> read.Curve:
    with transaction(engine) as connection:
        return read.curves_of_run(connection, run_id, [name])[name]


def lose(engine: Engine, run_id: str) -> State | None:
    with transaction(engine) as connection:
        (seen,) = [beat for beat in reaper.beats(connection) if beat.run_id == run_id]
        return reaper.reap(connection, seen)


def summary(connection: Connection, run_id: str, name: str) -> read.SeriesSummary:
    return next(s for s in read.summaries(connection, [run_id])[run_id] if s.name == name)


def test_each_waiting_run_is_claimed_by_exactly_one_of_many_workers(
    engine: Engine, submit: Callable[..., list[str]]
) -> None:
    submitted = submit(12)
    claimed: list[str] = []

    def work() -> None:
        while (held := take(engine)) is not None:
            claimed.append(held.run_id)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(claimed) == sorted(submitted)


def test_a_claim_whose_answer_was_lost_is_found_again_by_its_lease(
    engine: Engine, submit: Callable[..., list[str]]
) -> None:
    submit(2)
    first = take(engine, "mine")
    with transaction(engine) as connection:
        assert claims.claim(connection, ["cpu"], "w1", "mine", again=True) == first


def test_a_late_worker_is_fenced_from_every_kind_of_write(engine: Engine, submit: Callable[..., list[str]]) -> None:
    (run_id,) = submit()
    old = must_take(engine)
    assert lose(engine, run_id) is State.QUEUED
    new = must_take(engine)
    for late in (
        lambda c: leases.flush(c, old, points(1, 5)),
        lambda c: leases.save_checkpoint(c, old, SavedCheckpoint(5, "/x", "", 1), points(1, 5)),
        lambda c: leases.save_reading(c, old, 5, "start", {}, {}),
        lambda c: endings.finish(c, old, State.SUCCEEDED, {}),
        lambda c: endings.record_crash(c, old, "trainer_died", "", {}),
        lambda c: endings.requeue(c, old, {}),
        lambda c: endings.quarantine(c, old, "/x"),
    ):
        with pytest.raises(Fenced), transaction(engine) as connection:
            late(connection)
    with transaction(engine) as connection:
        assert read.summaries(connection, [run_id]) == {run_id: []}
        assert connection.execute(text("SELECT lease FROM run")).scalar_one() == new.lease


def test_after_a_lost_worker_each_step_is_visible_once_and_the_tail_is_superseded(
    engine: Engine, submit: Callable[..., list[str]]
) -> None:
    (run_id,) = submit()
    first = must_take(engine)
    flush(engine, first, points(1, 40))
    checkpoint(engine, first, 100, points(41, 100))
    flush(engine, first, points(101, 150, scale=7.0))
    lose(engine, run_id)

    second = must_take(engine)
    assert second.start_step == 100
    assert curve(engine, run_id).steps.tolist() == list(range(1, 101))
    flush(engine, second, points(101, 200))
    seen = curve(engine, run_id)
    assert seen.steps.tolist() == list(range(1, 201))
    assert np.array_equal(seen.values, 1.0 / np.arange(1, 201))
    with transaction(engine) as connection:
        loss = summary(connection, run_id, "loss")
        assert (loss.n, loss.last_step, loss.last, loss.min_step, loss.max, loss.max_step) == (
            200,
            200,
            1 / 200,
            200,
            1.0,
            1,
        )
        cuts = [e.data["from_step"] for e in events.after(connection, [run_id], 0) if e.kind == "cut"]
        assert cuts == [100]


def test_a_flush_repeated_after_a_lost_answer_changes_nothing(engine: Engine, submit: Callable[..., list[str]]) -> None:
    (run_id,) = submit()
    held = must_take(engine)
    for _ in range(3):
        flush(engine, held, points(1, 10))
    with transaction(engine) as connection:
        assert summary(connection, run_id, "loss").n == 10
    assert len(curve(engine, run_id).steps) == 10


def test_a_checkpoint_repeated_after_a_lost_answer_changes_nothing(
    engine: Engine, submit: Callable[..., list[str]]
) -> None:
    (run_id,) = submit()
    held = must_take(engine)
    flush(engine, held, points(1, 40))
    first = checkpoint(engine, held, 100, points(41, 100))
    assert checkpoint(engine, held, 100, points(41, 100)) == first
    assert curve(engine, run_id).steps.tolist() == list(range(1, 101))
    with transaction(engine) as connection:
        assert summary(connection, run_id, "loss").n == 100
        kinds = [event.kind for event in events.after(connection, [run_id], 0)]
    assert kinds.count("checkpoint") == 1
    checkpoint(engine, held, 200, points(101, 200))
    gone = checkpoint(engine, held, 300, points(201, 300))
    assert checkpoint(engine, held, 300, points(201, 300)) == gone == [f"/nowhere/a{held.attempt}/step-100"]


def test_compaction_keeps_every_point_and_stops_at_the_oldest_kept_checkpoint(
    engine: Engine, submit: Callable[..., list[str]]
) -> None:
    (run_id,) = submit()
    held = must_take(engine)
    for start in range(1, 100, 10):
        flush(engine, held, points(start, start + 9))
    checkpoint(engine, held, 100, {})
    for start in range(101, 200, 10):
        flush(engine, held, points(start, start + 9))
    before = curve(engine, run_id)
    retired = checkpoint(engine, held, 200, {})
    after = curve(engine, run_id)
    assert np.array_equal(before.steps, after.steps)
    assert np.array_equal(before.values, after.values)
    assert retired == []
    with transaction(engine) as connection:
        rows = connection.execute(
            text(
                "SELECT m.first_step, m.last_step FROM metric_chunk m JOIN series s ON s.id = series_id "
                "WHERE name = 'loss' ORDER BY 1"
            )
        ).all()
        assert tuple(rows[0]) == (1, 100)
        assert [tuple(row) for row in rows[1:]] == [(s, s + 9) for s in range(101, 200, 10)]
    assert checkpoint(engine, held, 300, points(201, 300)) == [f"/nowhere/a{held.attempt}/step-100"]


def test_compaction_never_joins_small_chunks_across_a_large_one(
    engine: Engine, submit: Callable[..., list[str]]
) -> None:
    (run_id,) = submit()
    held = must_take(engine)
    spans = [(1, 10), (11, 20), (21, 20 + write.MERGED_POINTS), (5001, 5010), (5011, 5020)]
    for first, last in spans:
        flush(engine, held, points(first, last))
    before = curve(engine, run_id)
    with transaction(engine) as connection:
        endings.finish(connection, held, State.SUCCEEDED, {})
        rows = connection.execute(text("SELECT DISTINCT first_step, last_step FROM metric_chunk ORDER BY 1")).all()
    assert [tuple(row) for row in rows] == [(1, 20), (21, 20 + write.MERGED_POINTS), (5001, 5020)]
    after = curve(engine, run_id)
    assert np.array_equal(before.steps, after.steps)
    assert np.array_equal(before.values, after.values)


def test_a_damaged_checkpoint_falls_back_to_the_good_one_before(
    engine: Engine, submit: Callable[..., list[str]]
) -> None:
    (run_id,) = submit()
    held = must_take(engine)
    checkpoint(engine, held, 100, points(1, 100))
    checkpoint(engine, held, 200, points(101, 200))
    lose(engine, run_id)
    second = must_take(engine)
    assert second.checkpoint is not None
    assert second.start_step == 200
    with transaction(engine) as connection:
        endings.quarantine(connection, second, second.checkpoint.folder)
    third = must_take(engine)
    assert third.start_step == 100
    assert curve(engine, run_id).steps.tolist() == list(range(1, 101))


def test_a_run_that_kills_its_trainer_fails_once_the_budget_is_spent(
    engine: Engine, submit: Callable[..., list[str]]
) -> None:
    (run_id,) = submit()
    states = []
    for _ in range(CRASH_BUDGET):
        held = must_take(engine)
        with transaction(engine) as connection:
            states.append(endings.record_crash(connection, held, "trainer_died", "signal SIGSEGV", {"step": 3}))
            connection.execute(text("UPDATE run SET not_before = clock_timestamp() WHERE state = 'queued'"))
    assert states == [State.QUEUED] * (CRASH_BUDGET - 1) + [State.FAILED]
    with transaction(engine) as connection:
        failure = connection.execute(text("SELECT failure FROM run WHERE id = :id"), {"id": run_id}).scalar_one()
    assert failure["code"] == "crash_loop"
    assert failure["evidence"]["step"] == 3


def test_a_checkpoint_resets_the_budgets(engine: Engine, submit: Callable[..., list[str]]) -> None:
    submit()
    held = must_take(engine)
    with transaction(engine) as connection:
        endings.record_crash(connection, held, "trainer_died", "", {})
    held = must_take(engine)
    checkpoint(engine, held, 10, points(1, 10))
    with transaction(engine) as connection:
        assert connection.execute(text("SELECT crash_count FROM run")).scalar_one() == 0


def test_a_lost_run_fails_after_many_losses_and_grants_a_wish_before(
    engine: Engine, submit: Callable[..., list[str]], principal: Principal
) -> None:
    (run_id,) = submit()
    ends = []
    for _ in range(LOST_BUDGET):
        must_take(engine)
        ends.append(lose(engine, run_id))
    assert ends == [State.QUEUED] * (LOST_BUDGET - 1) + [State.FAILED]
    (other,) = submit()
    must_take(engine)
    with transaction(engine) as connection:
        desired_state.cancel(connection, principal, other)
    assert lose(engine, other) is State.CANCELLED


def test_a_reaper_takes_nothing_whose_beat_moved(engine: Engine, submit: Callable[..., list[str]]) -> None:
    submit()
    held = must_take(engine)
    with transaction(engine) as connection:
        (seen,) = reaper.beats(connection)
    flush(engine, held, {})
    with transaction(engine) as connection:
        assert reaper.reap(connection, seen) is None


def test_cancel_is_at_once_for_what_waits_and_a_wish_for_what_runs(
    engine: Engine, submit: Callable[..., list[str]], principal: Principal
) -> None:
    (running,) = submit()
    held = must_take(engine)
    (waiting,) = submit()
    with transaction(engine) as connection:
        assert desired_state.cancel(connection, principal, waiting).state is State.CANCELLED
        asked = desired_state.cancel(connection, principal, running)
    assert (asked.state, asked.desired) == (State.RUNNING, DesiredState.CANCEL)
    assert flush(engine, held, points(1, 3)) is DesiredState.CANCEL
    with transaction(engine) as connection:
        endings.finish(connection, held, State.CANCELLED, {})
    with transaction(engine) as connection:
        assert runs.get(connection, principal, running).state is State.CANCELLED


def test_a_run_that_succeeded_cannot_be_cancelled(
    engine: Engine, submit: Callable[..., list[str]], principal: Principal
) -> None:
    (run_id,) = submit()
    held = must_take(engine)
    with transaction(engine) as connection:
        endings.finish(connection, held, State.SUCCEEDED, points(1, 3))
    with pytest.raises(Conflict, match="already succeeded"), transaction(engine) as connection:
        desired_state.cancel(connection, principal, run_id)
    with transaction(engine) as connection:
        assert endings.already_ended(connection, held)


def test_why_a_run_ended_before_its_last_step_is_told_with_its_attempt(
    engine: Engine, submit: Callable[..., list[str]], principal: Principal
) -> None:
    (run_id,) = submit()
    held = must_take(engine)
    with transaction(engine) as connection:
        endings.finish(connection, held, State.SUCCEEDED, points(1, 3), detail="stopped at step 3 by patience")
    with transaction(engine) as connection:
        (attempt,) = runs.attempts(connection, run_id)
        assert runs.get(connection, principal, run_id).state is State.SUCCEEDED
    assert (attempt.ending, attempt.detail) == ("succeeded", "stopped at step 3 by patience")


def test_the_failure_of_a_run_may_hold_numbers_that_are_not_finite(
    engine: Engine, submit: Callable[..., list[str]], principal: Principal
) -> None:
    (run_id,) = submit()
    held = must_take(engine)
    failure = {"code": "diverged", "detail": "", "evidence": {"losses": [1.0, float("inf"), float("nan")]}}
    with transaction(engine) as connection:
        endings.finish(connection, held, State.FAILED, {}, failure)
    with transaction(engine) as connection:
        found = runs.get(connection, principal, run_id).failure
    assert found is not None
    assert found["evidence"]["losses"] == [1.0, "Infinity", "NaN"]


def test_a_log_is_dated_in_its_order_although_its_clock_is_read_from_afar(
    engine: Engine, principal: Principal, submit: Callable[..., list[str]]
) -> None:
    (run_id,) = submit()
    must_take(engine)
    now = time.monotonic()
    for number, late_s in ((1, 0.0), (2, 5.0), (3, -5.0)):  # the second statement takes 5 s less to arrive
        line = log_lines.LogLine(number, now - late_s, "saddle", "info", f"line {number}")
        with transaction(engine) as connection:
            log_lines.add(connection, run_id, 1, [line])
    with transaction(engine) as connection:
        stored = log_lines.after(connection, principal, run_id, (0, 0), 10)
    assert [line.number for line in stored] == [1, 2, 3]
    assert [line.at for line in stored] == sorted(line.at for line in stored)
