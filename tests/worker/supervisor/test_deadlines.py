"""How long a trainer may take, as arithmetic: no clock runs here."""

from typing import Any

from service.settings import Settings
from worker.supervisor.attempts.deadlines import CANCEL_S, MAX_CHECK_GAP_S, Deadlines


def new_deadlines(budget_s: float | None = None, **more: Any) -> Deadlines:
    return Deadlines(Settings(database_url="postgresql+psycopg://x@/x", **more), budget_s, 0.0)


def first_verdict(deadlines: Deadlines, moved_at: float = 0.0, until_s: int = 5000) -> tuple[int, str] | None:
    """Look every second, as a supervisor does."""
    since = int(deadlines.checked_at)
    for now in range(since, since + until_s):
        if verdict := deadlines.check(float(now), moved_at):
            return now, verdict
    return None


def test_the_first_step_has_half_an_hour_and_each_later_one_ten_minutes() -> None:
    deadlines = new_deadlines()
    assert first_verdict(deadlines) == (1801, "stalled")
    deadlines = new_deadlines()
    deadlines.record_step(1, 100.0)
    assert first_verdict(deadlines) == (701, "stalled")


def test_a_loop_that_moves_has_as_long_as_the_first_step() -> None:
    deadlines = new_deadlines()
    deadlines.record_step(1, 1.0)
    assert first_verdict(deadlines, moved_at=1e9) == (1802, "stalled")


def test_steps_that_were_heard_of_before_are_no_progress() -> None:
    deadlines = new_deadlines()
    deadlines.record_step(5, 10.0)
    deadlines.record_step(5, 400.0)
    assert first_verdict(deadlines) == (611, "stalled")


def test_each_instrument_of_a_job_has_as_long_as_a_first_step() -> None:
    deadlines = new_deadlines()
    deadlines.record_reading(1000.0)
    assert first_verdict(deadlines) == (2801, "stalled")


def test_a_supervisor_that_was_stopped_itself_blames_nobody() -> None:
    deadlines = new_deadlines()
    deadlines.record_step(1, 0.5)
    assert deadlines.check(0.6, 0.0) is None
    assert deadlines.check(5000.0, 0.0) is None
    assert deadlines.request("cancel", 5000.0)
    assert deadlines.check(5000.0 + CANCEL_S + MAX_CHECK_GAP_S + 1, 0.0) is None


def test_a_told_trainer_has_its_time_and_repeated_words_give_it_no_more() -> None:
    deadlines = new_deadlines(drain_s=90.0)
    assert deadlines.request("pause", 0.0)
    assert not deadlines.request("pause", 50.0)
    assert deadlines.request("drain", 60.0)
    assert first_verdict(deadlines) == (91, "stop_timeout")


def test_a_cancel_is_shorter_and_counts_from_when_it_was_said() -> None:
    deadlines = new_deadlines(drain_s=90.0)
    deadlines.request("pause", 0.0)
    deadlines.request("cancel", 20.0)
    assert first_verdict(deadlines) == (20 + int(CANCEL_S) + 1, "stop_timeout")


def test_the_time_a_run_may_train_counts_from_its_claim() -> None:
    assert not new_deadlines(None).is_out_of_time(1e9)
    assert (new_deadlines(60.0).is_out_of_time(59.9), new_deadlines(60.0).is_out_of_time(60.0)) == (False, True)


def test_a_run_makes_way_after_its_turn_and_as_long_as_it_took_to_start() -> None:
    quick, slow = new_deadlines(turn_s=20.0), new_deadlines(turn_s=20.0)
    assert not quick.may_yield(1000.0), "it has made no step"
    quick.record_step(1, 2.0)
    slow.record_step(1, 300.0)
    assert [quick.may_yield(now) for now in (21.9, 22.0)] == [False, True]
    assert [slow.may_yield(now) for now in (599.9, 600.0)] == [False, True]


def test_a_run_that_makes_way_is_not_killed_for_a_long_step_and_a_drain_has_its_own_time() -> None:
    deadlines = new_deadlines(drain_s=90.0)
    deadlines.record_step(1, 1.0)
    assert deadlines.request("yield", 30.0)
    assert first_verdict(deadlines) == (602, "stalled")
    deadlines = new_deadlines(drain_s=90.0)
    deadlines.request("yield", 30.0)
    assert deadlines.request("drain", 60.0)
    assert first_verdict(deadlines) == (151, "stop_timeout")
