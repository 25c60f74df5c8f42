"""Whose turn it is: projects share a pool fairly, waiting makes up for priority, and a requeued run keeps its place."""

import uuid
from collections.abc import Callable

import pytest
from sqlalchemy import Engine, text

from service.db.access.principal import Principal
from service.db.access.projects import find_principal, new_key
from service.db.experiments import experiments
from service.db.runs import claims, desired_state, endings, positions, reaper, runs
from service.db.runs.claims import Claim
from service.db.session import transaction
from service.lifecycle import State
from service.spec.experiment import Experiment

SPEC = Experiment.model_validate_json(
    """{"dataset": {"kind": "iris"}, "model": {"kind": "linear"}, "loss": {"kind": "cross_entropy"},
    "optimizer": {"kind": "sgd"}, "steps": 1000, "seeds": [0]}"""
)
Submit = Callable[..., list[str]]


@pytest.fixture
def submit(engine: Engine, principal: Principal) -> Submit:
    def submitted(seeds: int = 1, by: Principal = principal, **fields: int) -> list[str]:
        spec = SPEC.model_copy(update={"seeds": tuple(range(seeds)), **fields})
        with transaction(engine) as connection:
            experiment_id = experiments.add(connection, by, spec, "cpu").id
            return [run.id for run in runs.of_experiments(connection, [experiment_id])]

    return submitted


@pytest.fixture
def other(engine: Engine) -> Principal:
    with transaction(engine) as connection:
        found = find_principal(connection, new_key(connection, "other", "bob"))
    assert found is not None
    return found


def take(engine: Engine) -> Claim:
    with transaction(engine) as connection:
        held = claims.claim(connection, ["cpu"], "w1", uuid.uuid4().hex)
    assert held is not None
    return held


def aged(engine: Engine, run_id: str, minutes: float) -> None:
    """As if the run had been queued that long ago."""
    with transaction(engine) as connection:
        move = text("UPDATE run SET rank_at = rank_at - make_interval(secs => :s) WHERE id = :id")
        connection.execute(move, {"s": 60 * minutes, "id": run_id})


def test_one_run_starts_within_two_slots_of_another_projects_thousand(
    engine: Engine, submit: Submit, other: Principal
) -> None:
    submit(1000)
    (single,) = submit(by=other)
    assert single in [take(engine).run_id for _ in range(2)]


def test_projects_take_turns_by_what_they_have_running(engine: Engine, submit: Submit, other: Principal) -> None:
    mine, theirs = submit(4), submit(4, by=other)
    taken = [take(engine) for _ in range(6)]
    assert sorted(held.run_id in mine for held in taken) == [False] * 3 + [True] * 3
    for held in taken:
        if held.run_id in theirs:
            with transaction(engine) as connection:
                endings.finish(connection, held, State.SUCCEEDED, {})
    assert take(engine).run_id in theirs, "it has nothing running now"


def test_a_point_of_priority_is_worth_ten_minutes_of_waiting(engine: Engine, submit: Submit) -> None:
    (patient,), (less,), (urgent,) = submit(), submit(), submit(priority=1)
    aged(engine, patient, 10.5)
    aged(engine, less, 9.5)
    assert [take(engine).run_id for _ in range(3)] == [patient, urgent, less]


def test_a_run_that_comes_back_keeps_its_place_and_a_resumed_one_takes_a_new_one(
    engine: Engine, submit: Submit, principal: Principal
) -> None:
    first, second = submit(2)
    with transaction(engine) as connection:
        endings.requeue(connection, take(engine), {})
    with transaction(engine) as connection:
        endings.record_crash(connection, take(engine), "trainer_died", "", {})
    held = take(engine)
    assert held.run_id == first
    with transaction(engine) as connection:
        (beat,) = reaper.beats(connection)
        reaper.reap(connection, beat)
    with transaction(engine) as connection:
        desired_state.pause(connection, principal, first)
        desired_state.resume(connection, principal, first)
    assert take(engine).run_id == second


def test_what_backs_off_is_passed_over_and_says_until_when(engine: Engine, submit: Submit) -> None:
    first, second = submit(2)
    with transaction(engine) as connection:
        connection.execute(text("UPDATE run SET crash_count = 1 WHERE id = :id"), {"id": first})
    with transaction(engine) as connection:
        endings.record_crash(connection, take(engine), "trainer_died", "", {})
        wait = connection.execute(
            text("SELECT extract(epoch FROM not_before - clock_timestamp()) FROM run WHERE id = :id"), {"id": first}
        ).scalar_one()
        assert positions.positions(connection, [first])[first].reason.startswith("backing off after a failure until 2")
    assert 7.5 < wait < 12.5, "ten seconds, spread by a fifth"
    assert take(engine).run_id == second


def test_places_are_counted_alike_for_one_run_and_for_many(engine: Engine, submit: Submit) -> None:
    waiting = submit(7)
    with transaction(engine) as connection:
        many = positions.positions(connection, waiting)
        single = {run_id: positions.positions(connection, [run_id])[run_id] for run_id in waiting}
    assert many == single
    assert sorted(place.before for place in many.values()) == list(range(7))


def test_time_trained_is_summed_over_attempts(engine: Engine, submit: Submit) -> None:
    submit()
    for seconds in (5, 7):
        held = take(engine)
        with transaction(engine) as connection:
            back = text("UPDATE attempt SET started_at = started_at - make_interval(secs => :s) WHERE attempt = :n")
            connection.execute(back, {"s": seconds, "n": held.attempt})
            endings.requeue(connection, held, {})
    assert 12 <= take(engine).trained_s < 14
