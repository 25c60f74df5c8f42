"""Whose turn it is: recent use of devices decides between projects and between people, and waiting makes up for it."""

import pytest
from sqlalchemy import Engine, text

from service.db.runs import claims, endings, positions, reaper, turns, workers
from service.db.runs.claims import Claim
from service.db.session import make_engine, transaction
from service.lifecycle import State
from service.turn_policy import TurnPolicy

from .turn_model import Job, Queue, random_jobs, simulate, worst_ratio
from .turn_steps import Enter, finish, pass_time, submit, take


def use_s(engine: Engine) -> dict[tuple[str, str], float]:
    with transaction(engine) as connection:
        return {(each.project, each.owner): each.use_s for each in turns.shares(connection, ["cpu"])}


def test_use_is_counted_however_an_attempt_ends_and_halves_with_time(engine: Engine, enter: Enter) -> None:
    ada = enter("a", "ada")
    submit(engine, ada, 3)
    held = take(engine)
    pass_time(engine, 100)
    running = use_s(engine)["a", "ada"]
    with transaction(engine) as connection:
        endings.requeue(connection, held, {})
    drained = use_s(engine)["a", "ada"]
    assert (running, drained) == (pytest.approx(98.1, abs=1), pytest.approx(98.1, abs=1))
    take(engine)
    pass_time(engine, 100)
    with transaction(engine) as connection:
        (beat,) = reaper.beats(connection)
        assert reaper.reap(connection, beat) is State.QUEUED
    reaped = use_s(engine)["a", "ada"]
    assert reaped == pytest.approx(98.1 * 2 ** (-100 / 1800) + 98.1, abs=1)
    pass_time(engine, 1800)
    assert use_s(engine)["a", "ada"] == pytest.approx(reaped / 2, abs=0.5)
    pass_time(engine, 1e9)
    with transaction(engine) as connection:
        assert turns.forget_decayed(connection) == 1


def test_a_run_on_several_devices_uses_each_of_them(engine: Engine, enter: Enter) -> None:
    (run_id,) = submit(engine, enter("a", "ada"))
    with transaction(engine) as connection:
        connection.execute(text("UPDATE run SET needs = '{devices=4}' WHERE id = :id"), {"id": run_id})
        held = claims.claim(connection, ["cpu"], "w1", "lease", devices=4)
    assert held is not None
    pass_time(engine, 100)
    assert use_s(engine)["a", "ada"] == pytest.approx(4 * 98.1, abs=2)
    finish(engine, held)
    assert use_s(engine)["a", "ada"] == pytest.approx(4 * 98.1, abs=2)


@pytest.mark.parametrize("workers", [1, 2, 8])
def test_one_run_starts_within_two_slots_of_another_projects_thousand(
    engine: Engine, enter: Enter, workers: int
) -> None:
    submit(engine, enter("a", "ada"), 1000)
    held = [take(engine, f"w{number}") for number in range(workers)]
    pass_time(engine, 30)
    (single,) = submit(engine, enter("b", "bob"))
    finish(engine, held.pop())
    assert take(engine).run_id == single, "its project has used nothing"


def test_past_use_counts_although_nothing_runs(engine: Engine, enter: Enter) -> None:
    ada, bob = enter("a", "ada"), enter("b", "bob")
    theirs = submit(engine, ada, 3)
    finish(engine, take(engine), 200)
    mine = submit(engine, bob, 8)
    for _ in range(5):  # 150 s in all: less than the others had
        held = take(engine)
        assert held.run_id in mine
        finish(engine, held, 30)
    assert take(engine).run_id in theirs, "waiting has made up for the rest"


def test_people_of_a_project_take_turns_and_others_do_not_matter(engine: Engine, enter: Enter) -> None:
    ada, eve = enter("a", "ada"), enter("a", "eve")
    first = submit(engine, ada, 100)
    finish(engine, take(engine), 60)
    (single,) = submit(engine, eve)
    assert take(engine).run_id == single
    assert take(engine).run_id in first


def test_priority_acts_within_a_project_only(engine: Engine, enter: Enter) -> None:
    ada, eve, bob = enter("a", "ada"), enter("a", "eve"), enter("b", "bob")
    submit(engine, ada)
    finish(engine, take(engine), 60)
    theirs = submit(engine, bob, 2)
    (patient,) = submit(engine, eve)
    (urgent,) = submit(engine, ada, priority=100)
    order = []
    for _ in range(4):
        held = take(engine)
        order.append(held.run_id)
        finish(engine, held, 1)
    assert order == [*theirs, urgent, patient]


def test_nobody_starves_while_new_projects_arrive(engine: Engine, enter: Enter) -> None:
    _, patient = submit(engine, enter("old", "ada"), 2)
    finish(engine, take(engine), 1800)
    for number in range(40):  # each has used nothing, and waits for a minute
        submit(engine, enter(f"new {number}", "bob"))
        pass_time(engine, 60)
        if (held := take(engine)).run_id == patient:
            break
        finish(engine, held)
    assert 5 < number < 30


def test_ends_of_one_persons_runs_do_not_wait_for_each_other(engine: Engine, enter: Enter, database_url: str) -> None:
    submit(engine, enter("a", "ada"), 2)
    first, second = take(engine, "w1"), take(engine, "w2")
    other = make_engine(database_url, pool_size=1, statement_s=2)
    with transaction(engine) as connection:
        endings.finish(connection, first, State.SUCCEEDED, {})
        with transaction(other) as beside:  # the first has not committed
            endings.finish(beside, second, State.SUCCEEDED, {})
    other.dispose()
    with transaction(engine) as connection:
        states = connection.execute(text("SELECT state FROM run")).scalars().all()
    assert states == ["succeeded"] * 2


def test_places_are_those_in_which_runs_of_equal_length_start(engine: Engine, enter: Enter) -> None:
    ada, eve, bob = enter("a", "ada"), enter("a", "eve"), enter("b", "bob")
    submit(engine, ada)
    finish(engine, take(engine), 45)
    waiting = submit(engine, ada, 4) + submit(engine, eve, 2) + submit(engine, bob, 3)
    with transaction(engine) as connection:
        places = positions.positions(connection, waiting)
        (place,) = positions.positions(connection, waiting[5:6]).values()
        listed = positions.next_runs(connection, ["cpu"], None, 100)
    assert sorted(each.before for each in places.values()) == list(range(9))
    assert place == places[waiting[5]]
    assert {each.reason for each in places.values()} == {"no worker of pool cpu has been seen"}
    assert [(each.run_id, each.before) for each in listed] == [
        (held, places[held].before) for held in sorted(places, key=lambda run: places[run].before)
    ]
    started = []
    for _ in waiting:
        held = take(engine)
        started.append(held.run_id)
        finish(engine, held, 45)
    assert sorted(waiting, key=lambda run: places[run].before)[:3] == started[:3]


class Postgres(Queue):
    """The same questions, asked of the statements."""

    def __init__(self, engine: Engine, jobs: list[Job], enter: Enter) -> None:
        self.engine, self.now = engine, 0.0
        self.people = {job.person: enter(*job.person) for job in jobs}
        self.jobs, self.held = dict[str, Job](), dict[int, Claim]()

    def pass_time(self, now: float) -> None:
        pass_time(self.engine, now - self.now)
        self.now = now

    def add(self, job: Job) -> None:
        (run_id,) = submit(self.engine, self.people[job.person])
        self.jobs[run_id] = job

    def claim(self) -> Job | None:
        if len(self.held) == len(self.jobs):
            return None
        held = take(self.engine, f"w{len(self.held) % 8}")
        job = self.jobs[held.run_id]
        self.held[job.number] = held
        return job

    def end(self, job: Job) -> None:
        finish(self.engine, self.held[job.number])


@pytest.mark.parametrize("workers", [1, 2, 8])
def test_postgres_serves_as_the_model_does(engine: Engine, enter: Enter, workers: int) -> None:
    jobs = random_jobs(3, workers, 40)
    policy = TurnPolicy()
    assert simulate(jobs, workers, Postgres(engine, jobs, enter)) == simulate(jobs, workers, Queue(policy))


@pytest.mark.parametrize("workers", [1, 2, 8])
def test_nobody_waits_longer_than_twice_what_equal_division_takes(workers: int) -> None:
    """Besides the time of one run, which cannot be divided; 1,000 random arrivals."""
    for seed in range(2):
        assert worst_ratio(random_jobs(seed, workers), workers, lambda: Queue(TurnPolicy())) <= 2


def test_a_run_says_how_many_are_before_it(engine: Engine, enter: Enter) -> None:
    waiting = submit(engine, enter("a", "ada"), 3)
    with transaction(engine) as connection:
        workers.announce(connection, "w1", "cpu", "host", 1, "1", {"kind": "cpu"})
        workers.beat(connection, "w1", "busy")
        places = positions.positions(connection, waiting)
    assert [places[run_id].reason for run_id in waiting] == [
        "every worker of pool cpu is busy",
        "every worker of pool cpu is busy, and 1 run is before it",
        "every worker of pool cpu is busy, and 2 runs are before it",
    ]


@pytest.mark.parametrize(("column", "value"), [("held", "true"), ("running_limit", "1")])
def test_a_full_quota_lets_no_run_of_its_project_start(engine: Engine, enter: Enter, column: str, value: str) -> None:
    ada, bob = enter("a", "ada"), enter("b", "bob")
    first, second = submit(engine, ada, 2)
    assert take(engine).run_id == first
    with transaction(engine) as connection:
        fields = "project_id, device_s, upload_bytes, checkpoint_bytes, held, running_limit"
        limits = {"held": "false", "running_limit": "NULL"} | {column: value}
        connection.execute(
            text(
                f"INSERT INTO quota_use ({fields}) VALUES (:id, 0, 0, 0, {limits['held']}, {limits['running_limit']})"
            ),
            {"id": ada.project_id},
        )
        assert claims.claim(connection, ["cpu"], "w1", "lease") is None
        workers.announce(connection, "w1", "cpu", "host", 1, "1", {"kind": "cpu"})
        assert positions.positions(connection, [second])[second].reason.startswith("a quota of its project")
    (theirs,) = submit(engine, bob)
    assert take(engine).run_id == theirs
