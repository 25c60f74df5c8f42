"""Packs under a real supervisor, trainer and Postgres: each run is held, stopped, ended and recorded by itself."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.db.experiments import experiments
from service.db.metrics import read
from service.db.runs import reaper
from service.db.session import transaction
from service.spec.experiment import Experiment
from tests.harness.waiting import until
from tests.worker.supervisor.desk import Desk, settings
from worker.supervisor.attempts import deadlines
from worker.supervisor.claim_loop import Supervisor

SPEC: dict[str, Any] = {
    "dataset": {"kind": "digits"},
    "model": {"kind": "mlp", "hidden": (16,)},
    "loss": {"kind": "cross_entropy"},
    "optimizer": {"kind": "sgd", "lr": 0.1},
    "batch_size": 16,
    "steps": 60,
    "evaluate": {"every_steps": 20},
    "probes": (),
    "precision": "fp64",
    "diagnose": "never",
}
ENDLESS = {"steps": 10**7, "evaluate": {"every_steps": 10**7}}
Submit = Callable[..., list[str]]


@pytest.fixture
def submit(desk: Desk, request: pytest.FixtureRequest) -> Submit:
    """Queue runs of one experiment in the test's own pool, and return their ids by seed."""

    def submitted(seeds: int, **changes: Any) -> list[str]:
        spec = Experiment.model_validate(SPEC | changes | {"seeds": tuple(range(seeds))})
        with transaction(desk.engine) as connection:
            return [run.id for run in experiments.add(connection, desk.principal, spec, pool_of(request)).runs]

    return submitted


@pytest.fixture
def start(
    module_url: str,
    tmp_path: Path,
    forked_trainers: None,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Callable[..., Supervisor]]:
    """Start a slot that trains packs; it is drained at the end."""
    monkeypatch.setattr(deadlines, "CANCEL_S", 5.0)
    threads: list[tuple[Supervisor, threading.Thread]] = []

    def started(name: str = "w1", **more: Any) -> Supervisor:
        quick = {"pack_runs": 8, "pool": pool_of(request), "spares": 0, "stall_s": 20.0, "first_step_s": 60.0}
        slot = Supervisor(settings(module_url, tmp_path, name, **(quick | {"drain_s": 10.0} | more)))
        threads.append((slot, threading.Thread(target=slot.run, name=name)))
        threads[-1][1].start()
        return slot

    yield started
    for slot, thread in threads:
        slot.drain()
        thread.join()


def pool_of(request: pytest.FixtureRequest) -> str:
    """Return a pool for the test alone."""
    return "p" + str(sum(map(ord, request.node.name)))


def stepping(desk: Desk, run_ids: Sequence[str]) -> None:
    """Wait until one of these runs is under way."""
    until(lambda: any(desk.run(each)["step"] >= 2 for each in run_ids))


def losses(desk: Desk, run_id: str) -> read.Curve:
    with transaction(desk.engine) as connection:
        return read.curves(connection, [run_id], ["loss"])[run_id]["loss"]


def reap(desk: Desk, run_id: str) -> bool:
    """Take a run from its worker, as a reaper does that saw no heartbeat."""
    with transaction(desk.engine) as connection:
        (seen,) = [beat for beat in reaper.beats(connection) if beat.run_id == run_id]
        return reaper.reap(connection, seen) is not None


def is_whole(desk: Desk, run_id: str, steps: int) -> bool:
    return np.array_equal(losses(desk, run_id).steps, np.arange(1, steps + 1))


def test_each_run_of_a_pack_ends_with_its_own_rows_as_if_it_were_alone(
    start: Callable[..., Supervisor], desk: Desk, submit: Submit
) -> None:
    made, alone = submit(4), submit(2, pack="never")
    start()
    for run in [*made, *alone]:
        assert desk.stopped(run)["state"] == "succeeded"
        assert is_whole(desk, run, 60)
        (attempt,) = desk.attempts(run)
        assert attempt["pack_runs"] == (4 if run in made else 1)
        assert attempt["environment"]["torch"]
        assert desk.run(run)["checkpoint_step"] == 60
    for packed, single in zip(made, alone, strict=False):
        assert np.allclose(losses(desk, packed).values, losses(desk, single).values, rtol=1e-9)
        said = [line["text"] for line in desk.log(packed) if line["source"] == "saddle"]
        assert said[0] == "claimed by w1 in a pack of 4"
        assert said[-2] == "succeeded at step 60"
    first, second = (losses(desk, run).values for run in made[:2])
    assert not np.array_equal(first, second), "each has its own seed"


def test_one_is_paused_and_one_cancelled_and_the_others_train_on(
    start: Callable[..., Supervisor], desk: Desk, submit: Submit
) -> None:
    made = submit(4, **ENDLESS)
    start()
    stepping(desk, made)
    for run, wish, state in ((made[0], "pause", "paused"), (made[1], "cancel", "cancelled")):
        desk.wish(run, wish)
        assert desk.stopped(run, 20)["state"] == state
    assert desk.run(made[0])["checkpoint_step"] == desk.run(made[0])["step"] > 0
    assert [desk.run(run)["state"] for run in made[2:]] == ["running"] * 2
    assert [desk.run(run)["crash_count"] for run in made] == [0] * 4
    for run in made[2:]:
        desk.wish(run, "cancel")
        assert desk.stopped(run, 20)["state"] == "cancelled"
        assert is_whole(desk, run, desk.run(run)["step"])


def test_one_that_diverges_fails_alone(start: Callable[..., Supervisor], desk: Desk, submit: Submit) -> None:
    regression = {"dataset": {"kind": "diabetes"}, "model": {"kind": "linear"}, "loss": {"kind": "mse"}, "steps": 400}
    good = submit(2, **regression, optimizer={"kind": "sgd", "lr": 0.01})
    (bad,) = submit(1, **regression, optimizer={"kind": "sgd", "lr": 10.0})
    start()
    assert desk.stopped(bad)["failure"]["code"] == "diverged"
    assert desk.attempts(bad)[0]["pack_runs"] == 3
    for run in good:
        assert desk.stopped(run)["state"] == "succeeded"
        assert is_whole(desk, run, 400)
        assert len(desk.attempts(run)) == 1


def test_a_trainer_that_dies_is_a_crash_of_each_and_each_is_retried_alone(
    start: Callable[..., Supervisor], desk: Desk, submit: Submit
) -> None:
    made = submit(3, steps=3000, evaluate={"every_steps": 3000})
    slot = start()
    stepping(desk, made)
    assert slot.trainers.active is not None
    os.kill(slot.trainers.active.pid, signal.SIGKILL)
    until(lambda: [desk.run(run)["crash_count"] for run in made] == [1] * 3)
    for run in made:
        desk.now(run)
    for run in made:
        assert desk.stopped(run)["state"] == "succeeded"
        assert [(a["ending"], a["pack_runs"]) for a in desk.attempts(run)] == [("trainer_died", 3), ("succeeded", 1)]
        assert is_whole(desk, run, 3000)


def test_one_whose_lease_is_lost_leaves_the_others_undisturbed(
    start: Callable[..., Supervisor], desk: Desk, submit: Submit
) -> None:
    made = submit(3, **ENDLESS)
    start()
    stepping(desk, made)
    until(lambda: reap(desk, made[0]))
    desk.sql("UPDATE run SET not_before = clock_timestamp() + interval '1 hour' WHERE id = :id", id=made[0])
    time.sleep(1.5)
    step = desk.run(made[0])["step"]
    beats = [desk.run(run)["beat"] for run in made[1:]]
    time.sleep(2)
    assert desk.run(made[0])["step"] == step
    assert all(desk.run(run)["beat"] > beat for run, beat in zip(made[1:], beats, strict=True))
    assert desk.run(made[0])["state"] == "queued"
    for run in made[1:]:
        desk.wish(run, "cancel")
        assert desk.stopped(run, 20)["state"] == "cancelled"


def test_a_worker_that_stops_saves_and_queues_each_and_the_next_one_goes_on(
    start: Callable[..., Supervisor], desk: Desk, submit: Submit
) -> None:
    made = submit(3, steps=4000, evaluate={"every_steps": 4000})
    slot = start("first")
    stepping(desk, made)
    slot.drain()
    until(lambda: {desk.run(run)["state"] for run in made} <= {"queued", "succeeded"}, 30)
    assert any(desk.run(run)["state"] == "queued" for run in made)
    start("second")
    for run in made:
        assert desk.stopped(run)["state"] == "succeeded"
        first, *others = desk.attempts(run)
        assert first["ending"] in ("drained", "succeeded")
        for each in others:
            assert each["start_step"] == first["cut_step"]
        assert desk.run(run)["crash_count"] == 0
        assert is_whole(desk, run, 4000)


def test_all_make_way_when_one_is_asked_to(start: Callable[..., Supervisor], desk: Desk, submit: Submit) -> None:
    made = submit(3, **ENDLESS)
    start(turn_s=0.1)
    stepping(desk, made)
    desk.sql("UPDATE run SET yields_to = 'somebody' WHERE id = :id", id=made[0])
    until(lambda: all(desk.attempts(run)[0]["ending"] == "preempted" for run in made), 30)
    for run in made:
        until(lambda run=run: desk.run(run)["state"] == "running")
        desk.wish(run, "cancel")
        assert desk.stopped(run, 20)["state"] == "cancelled"


def test_a_run_that_had_its_share_of_the_time_fails_alone(
    start: Callable[..., Supervisor], desk: Desk, submit: Submit
) -> None:
    made = submit(2, **ENDLESS)
    desk.sql("UPDATE run SET limit_s = 1 WHERE id = :id", id=made[0])
    start()
    ended = desk.stopped(made[0], 30)
    assert ended["failure"]["code"] == "time_limit"
    assert ended["failure"]["evidence"]["limit_s"] == 1.0
    assert 2 <= (ended["finished_at"] - ended["started_at"]).total_seconds() < 6, "two runs share the time"
    assert desk.run(made[1])["state"] == "running"
    desk.wish(made[1], "cancel")
    assert desk.stopped(made[1], 20)["state"] == "cancelled"
