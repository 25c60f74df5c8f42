"""Studies advance by what their runs did: points are given out, rungs decided, budgets kept, whoever crashes."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import count
from typing import Any

import pytest
from sqlalchemy import event, text

from service.db.access import quotas
from service.db.runs import runs
from service.db.session import transaction
from service.errors import Invalid
from service.lifecycle import State
from service.schemas.studies.requests import CloneRequest, ExtendRequest, TrialRequest
from tests.studies.conftest import ASHA, STEPS, Studio, by_rate

DIVERGED = {"code": "diverged", "detail": "the loss is nan", "step": 3}
CRASHED = {"code": "crash_loop", "detail": "it died"}


def test_a_study_without_a_pruner_trains_its_trials_a_few_at_once_and_finishes(studio: Studio) -> None:
    study_id = studio.post()
    assert studio.advance() == [("cpu", 2), ("cpu", 2)], "two trials of two seeds"
    assert studio.advance() == [], "parallel is 2"
    studio.train_all(by_rate)
    studio.advance()
    assert studio.states(study_id) == ["finished", "finished", "running", "running"]
    stored = studio.finish(study_id, by_rate)
    assert (stored.state, stored.why) == ("finished", "all 4 trials of the budget were given out")
    assert stored.finished_at is not None
    for trial in studio.trials(study_id):
        assert trial.value == pytest.approx(sum(trial.seed_values) / 2)  # type: ignore[arg-type]
        assert trial.seed_values[1] == pytest.approx(trial.seed_values[0] + 0.01)  # type: ignore[operator]
        assert trial.rungs == ()


def test_trials_wait_at_their_rungs_and_the_best_go_on(studio: Studio) -> None:
    study_id = studio.post(pruner=ASHA, budget={"trials": 9}, parallel=3)
    studio.advance()
    assert [trial.rung_steps for trial in studio.trials(study_id)] == [(10, 30)] * 3
    held = studio.claim()
    assert held is not None
    assert held.pause_at == 10
    assert held.spec["diagnose"] == "never", "a search expects trials that learn little"
    studio.train(held, by_rate(held))
    studio.advance()
    assert studio.states(study_id) == ["running"] * 3, "the other seed still trains"
    stored = studio.finish(study_id, by_rate)
    assert stored.state == "finished"
    found = studio.trials(study_id)
    assert len(found) == 9
    reached = sorted(len(trial.rungs) for trial in found)
    assert reached == [1] * 6 + [2] * 3
    finished = [trial for trial in found if trial.state == "finished"]
    assert len(finished) == 1
    assert all(trial.state in ("finished", "pruned") for trial in found)
    best = min(found, key=lambda trial: trial.rungs[0] or 0.0)
    assert finished[0].rungs[0] == pytest.approx(best.rungs[0])
    pruned = next(trial for trial in found if trial.state == "pruned")
    assert "place" in (pruned.why or "")
    with transaction(studio.engine) as connection:
        (run, _) = runs.all_of_experiments(connection, [str(pruned.experiment_id)])
        assert run.state is State.CANCELLED
        why = "SELECT data ->> 'by' AS by FROM event WHERE run_id = :id ORDER BY id DESC LIMIT 1"
        assert connection.execute(text(why), {"id": run.id}).scalar_one() == f"study {study_id}"


def test_a_diverged_seed_ends_its_trial_as_the_worst_and_its_sister_stops(studio: Studio) -> None:
    study_id = studio.post(budget={"trials": 2})
    studio.advance()
    held = studio.claim()
    assert held is not None
    studio.end(held, State.FAILED, DIVERGED)
    studio.advance()
    trial = studio.trials(study_id)[0]
    assert (trial.state, trial.value, trial.why) == ("finished", None, "diverged with seed 0")
    assert studio.claim().spec["name"] == "rates #1"  # type: ignore[union-attr]


def test_the_point_of_a_failed_trial_is_given_out_once_more(studio: Studio) -> None:
    study_id = studio.post(budget={"trials": 2}, parallel=1)
    for expected in (1, 2):
        studio.advance()
        held = studio.claim()
        assert held is not None
        studio.end(held, State.FAILED, CRASHED)
        assert len(studio.trials(study_id)) == expected
    studio.advance()
    first, again, other = studio.trials(study_id)
    assert (first.state, again.state, again.repeats) == ("failed", "failed", 0)
    assert again.point == first.point
    assert "crash_loop" in (first.why or "")
    assert (other.repeats, other.point == first.point) == (None, False)
    assert studio.finish(study_id, by_rate).state == "finished"
    assert studio.states(study_id) == ["failed", "failed", "finished"]


def test_a_study_whose_trials_all_fail_ends_and_says_why(studio: Studio) -> None:
    study_id = studio.post(budget={"trials": 100})
    for _ in range(20):
        studio.advance()
        while (held := studio.claim()) is not None:
            studio.end(held, State.FAILED, CRASHED)
    stored = studio.study(study_id)
    assert stored.state == "failed"
    assert "6 trials in a row failed" in (stored.why or "")
    assert len(studio.trials(study_id)) < 10


@pytest.mark.parametrize("pruner", ["none", ASHA, {"kind": "median", "startup": 1}])
@pytest.mark.parametrize("steps", [100, 500, 1111])
def test_the_budget_of_steps_is_never_exceeded(studio: Studio, pruner: Any, steps: int) -> None:
    study_id = studio.post(pruner=pruner, budget={"steps": steps}, parallel=3)
    stored = studio.finish(study_id, by_rate)
    assert stored.state == "finished"
    with transaction(studio.engine) as connection:
        trained = connection.execute(text("SELECT coalesce(sum(step), 0) FROM run")).scalar_one()
    assert trained <= steps
    if pruner == "none":
        assert trained == steps // (2 * STEPS) * 2 * STEPS, "whole trials"
    assert not {"running", "waiting"} & set(studio.states(study_id))


def test_device_seconds_that_are_used_up_stop_what_trains(studio: Studio) -> None:
    study_id = studio.post(budget={"device_seconds": 10.0})
    studio.advance()
    with transaction(studio.engine) as connection:
        connection.execute(text("UPDATE run SET trained_s = 6 WHERE seed = 0"))
    studio.advance()
    stored = studio.study(study_id)
    assert (stored.state, stored.why) == ("finished", "the budget of 10 device seconds is used up")
    assert studio.states(study_id) == ["pruned", "pruned"]
    assert studio.claim() is None


def test_a_grid_ends_when_it_is_used_up(studio: Studio) -> None:
    space = {"/optimizer/lr": {"kind": "choice", "options": [0.01, 0.1, 1.0]}}
    study_id = studio.post(sampler="grid", space=space, budget={"trials": 50}, parallel=2)
    stored = studio.finish(study_id, by_rate)
    assert (stored.state, stored.why) == ("finished", "every point of the grid was given out")
    rates = [trial.point["/optimizer/lr"] for trial in studio.trials(study_id)]
    assert sorted(rates) == [0.01, 0.1, 1.0]


class Killed:
    """Ends the process, as far as the database can tell, before one statement of a step."""

    def __init__(self, statement: int) -> None:
        self.left = statement

    def __call__(self, *_: Any) -> None:
        self.left -= 1
        if self.left == 0:
            raise ZeroDivisionError("the process was killed")


def test_a_crash_between_any_two_statements_loses_and_doubles_nothing(studio: Studio) -> None:
    study_id = studio.post(pruner=ASHA, budget={"trials": 6}, parallel=3, seeds=[0])
    crashes = 0
    while studio.study(study_id).state == "running":
        for statement in count(1):
            killed, before = Killed(statement), (studio.trials(study_id), studio.study(study_id))
            event.listen(studio.api, "before_cursor_execute", killed)
            with suppress(ZeroDivisionError):
                studio.advance()
            event.remove(studio.api, "before_cursor_execute", killed)
            if killed.left > 0:
                break  # the step has fewer statements: this time it was taken
            crashes += 1
            if (studio.trials(study_id), studio.study(study_id)) != before:
                break  # it was killed after the commit, when it looked for a further study
        studio.train_all(by_rate)
    numbers = [trial.number for trial in studio.trials(study_id)]
    assert numbers == list(range(6))
    assert studio.study(study_id).state == "finished"
    assert crashes > 50


def test_processes_that_advance_at_once_give_out_no_point_twice(studio: Studio) -> None:
    made = [studio.post(budget={"trials": 12}, seeds=[0], parallel=5) for _ in range(3)]
    with ThreadPoolExecutor(8) as pool:
        for _ in range(8):
            list(pool.map(lambda _: studio.advance(), range(8)))
            studio.train_all(by_rate)
    studio.advance()
    for study_id in made:
        assert studio.study(study_id).state == "finished"
        found = studio.trials(study_id)
        assert [trial.number for trial in found] == list(range(12))
        assert len({trial.experiment_id for trial in found}) == 12
        assert len({trial.point["/optimizer/lr"] for trial in found}) == 12
    with transaction(studio.engine) as connection:
        assert connection.execute(text("SELECT count(*) FROM experiment")).scalar_one() == 36


def test_the_same_study_gives_out_the_same_points_whenever_its_process_was_restarted(studio: Studio) -> None:
    points = []
    for _ in range(2):
        study_id = studio.post(sampler={"kind": "tpe", "startup": 3}, budget={"trials": 8}, parallel=1)
        studio.finish(study_id, by_rate)
        points.append([trial.point for trial in studio.trials(study_id)])
    assert points[0] == points[1]


def test_a_study_over_its_quota_waits_and_says_so(studio: Studio) -> None:
    study_id = studio.post()
    with transaction(studio.engine) as connection:
        quotas.set_limit(connection, "queued_runs", "project", studio.principal.project_id, None, 3)
    studio.advance()
    stored = studio.study(study_id)
    assert stored.state == "running"
    assert "waits for the quota" in (stored.why or "")
    assert studio.states(study_id) == ["running"]
    assert studio.finish(study_id, by_rate).state == "finished"
    assert studio.states(study_id) == ["finished"] * 4


def test_a_pause_stops_everything_and_a_resume_goes_on_to_the_same_rungs(studio: Studio) -> None:
    study_id = studio.post(pruner=ASHA, parallel=2)
    studio.advance()
    held = studio.claim()
    assert held is not None
    assert studio.command("pause_study", study_id).state == "paused"
    assert studio.claim() is None
    studio.end(held, State.PAUSED)
    assert studio.advance() == []
    with pytest.raises(Exception, match="resume it"):
        studio.command("add_trial", study_id, TrialRequest(point={"/optimizer/lr": 0.1}))
    view, queued = studio.command("resume_study", study_id)
    assert (view.state, len(queued)) == ("running", 4)
    again = studio.claim()
    assert again is not None
    assert again.pause_at == 10
    studio.train(again, 0.5)
    assert studio.finish(study_id, by_rate).state == "finished"


def test_a_stopped_study_cancels_what_it_has_and_stays_stopped(studio: Studio) -> None:
    study_id = studio.post()
    studio.advance()
    view = studio.command("stop_study", study_id)
    assert (view.state, view.why, view.trials) == ("stopped", "stopped by ada", {"pruned": 2})
    assert studio.claim() is None
    assert studio.advance() == []
    for verb in ("resume_study", "pause_study"):
        with pytest.raises(Exception, match="stopped"):
            studio.command(verb, study_id)
    with pytest.raises(Exception, match="clone it"):
        studio.command("extend_study", study_id, ExtendRequest(trials=2))


def test_an_extended_study_goes_on_where_it_had_finished(studio: Studio) -> None:
    study_id = studio.post(budget={"trials": 2})
    assert studio.finish(study_id, by_rate).state == "finished"
    with pytest.raises(Invalid) as refused:
        studio.command("extend_study", study_id, ExtendRequest(steps=100))
    assert [(each.pointer, each.code) for each in refused.value.problems] == [("/steps", "no_limit")]
    view = studio.command("extend_study", study_id, ExtendRequest(trials=3))
    assert (view.state, view.budget.trials.limit) == ("running", 5)
    assert studio.finish(study_id, by_rate).state == "finished"
    assert studio.states(study_id) == ["finished"] * 5


def test_a_clone_begins_anew_with_its_changes(studio: Studio) -> None:
    study_id = studio.post(budget={"trials": 2})
    studio.finish(study_id, by_rate)
    request = CloneRequest(name="other", changes={"seed": 7, "budget": {"trials": 3}})
    made = studio.command("clone_study", study_id, request, None).answer
    assert (made.name, made.cloned_from, made.trials) == ("other", study_id, {})
    studio.finish(made.id, by_rate)
    first, second = studio.trials(study_id), studio.trials(made.id)
    assert len(second) == 3
    assert first[0].point != second[0].point


def test_a_trial_by_hand_counts_as_the_samplers_own(studio: Studio) -> None:
    study_id = studio.post(budget={"trials": 3}, parallel=1)
    studio.advance()
    made = studio.command("add_trial", study_id, TrialRequest(point={"/optimizer/lr": 0.1})).answer
    assert (made.number, made.by_hand, made.state) == (1, True, "running")
    with pytest.raises(Invalid) as refused:
        studio.command("add_trial", study_id, TrialRequest(point={"/optimizer/lr": 50.0}))
    assert refused.value.problems[0].code == "not_in_space"
    studio.finish(study_id, by_rate)
    found = studio.trials(study_id)
    assert [trial.by_hand for trial in found] == [False, True, False]
    assert min(found, key=lambda trial: trial.value or 0.0).number == 1
    with pytest.raises(Exception, match="extend it"):
        studio.command("add_trial", study_id, TrialRequest(point={"/optimizer/lr": 0.2}))


def test_nothing_is_given_out_for_somebody_who_has_left(studio: Studio) -> None:
    study_id = studio.post()
    with transaction(studio.engine) as connection:
        connection.execute(text("UPDATE member SET removed_at = clock_timestamp()"))
    assert studio.advance() == []
    stored = studio.study(study_id)
    assert (stored.state, stored.why) == ("paused", "ada has left the project: clone the study to go on")


def test_a_trial_that_somebody_resumes_at_its_rung_trains_to_its_end(studio: Studio) -> None:
    study_id = studio.post(pruner=ASHA, budget={"trials": 2}, parallel=1, seeds=[0])
    studio.advance()
    held = studio.claim()
    assert held is not None
    studio.train(held, 0.5)
    with transaction(studio.engine) as connection:
        connection.execute(text("UPDATE run SET state = 'queued', pause_at = NULL WHERE id = :id"), {"id": held.run_id})
    again = studio.claim()
    assert again is not None
    assert (again.run_id, again.pause_at) == (held.run_id, None)
    studio.train(again, 0.4)
    studio.advance()
    trial = studio.trials(study_id)[0]
    assert (trial.state, trial.value) == ("finished", 0.4)
