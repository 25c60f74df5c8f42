"""How long a trainer may take, as arithmetic: no clock runs here."""

from typing import Any

from service.settings import Settings
from worker.supervisor.deadlines import BLIND_S, CANCEL_S, Watch


def watching(budget_s: float | None = None, **more: Any) -> Watch:
    return Watch(Settings(database_url="postgresql+psycopg://x@/x", **more), budget_s, 0.0)


def first_verdict(watch: Watch, moved_at: float = 0.0, until_s: int = 5000) -> tuple[int, str] | None:
    """Look every second, as a supervisor does."""
    since = int(watch.looked_at)
    for now in range(since, since + until_s):
        if verdict := watch.look(float(now), moved_at):
            return now, verdict
    return None


def test_the_first_step_has_half_an_hour_and_each_later_one_ten_minutes() -> None:
    watch = watching()
    assert first_verdict(watch) == (1801, "stalled")
    watch = watching()
    watch.stepped(1, 100.0)
    assert first_verdict(watch) == (701, "stalled")


def test_a_loop_that_moves_has_as_long_as_the_first_step() -> None:
    watch = watching()
    watch.stepped(1, 1.0)
    assert first_verdict(watch, moved_at=1e9) == (1802, "stalled")


def test_steps_that_were_heard_of_before_are_no_progress() -> None:
    watch = watching()
    watch.stepped(5, 10.0)
    watch.stepped(5, 400.0)
    assert first_verdict(watch) == (611, "stalled")


def test_each_instrument_of_a_job_has_as_long_as_a_first_step() -> None:
    watch = watching()
    watch.looked(1000.0)
    assert first_verdict(watch) == (2801, "stalled")


def test_a_supervisor_that_was_stopped_itself_blames_nobody() -> None:
    watch = watching()
    watch.stepped(1, 0.5)
    assert watch.look(0.6, 0.0) is None
    assert watch.look(5000.0, 0.0) is None
    assert watch.tell("cancel", 5000.0)
    assert watch.look(5000.0 + CANCEL_S + BLIND_S + 1, 0.0) is None


def test_a_told_trainer_has_its_time_and_repeated_words_give_it_no_more() -> None:
    watch = watching(drain_s=90.0)
    assert watch.tell("pause", 0.0)
    assert not watch.tell("pause", 50.0)
    assert watch.tell("drain", 60.0)
    assert first_verdict(watch) == (91, "disobedient")


def test_a_cancel_is_shorter_and_counts_from_when_it_was_said() -> None:
    watch = watching(drain_s=90.0)
    watch.tell("pause", 0.0)
    watch.tell("cancel", 20.0)
    assert first_verdict(watch) == (20 + int(CANCEL_S) + 1, "disobedient")


def test_the_time_a_run_may_train_counts_from_its_claim() -> None:
    assert not watching(None).used_up(1e9)
    assert (watching(60.0).used_up(59.9), watching(60.0).used_up(60.0)) == (False, True)
