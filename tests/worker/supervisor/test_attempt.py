"""A slot with real trainers and a real Postgres: what hangs, crashes or is told to stop ends as it should, in time."""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest
from psycopg import sql

from service.db.metrics import read
from service.db.runs import decisions, probe_results
from service.db.session import transaction
from service.local.postgres import EmbeddedPostgres
from tests.harness.nursery import Nursery, with_popen
from tests.harness.waiting import until
from tests.worker.supervisor.desk import Desk, settings
from worker.supervisor import trainer_pool, trainer_process
from worker.supervisor.attempts import deadlines
from worker.supervisor.claim_loop import Supervisor


@pytest.fixture(scope="module")
def start(
    module_url: str, troubled: Path, troubled_nursery: Nursery, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., Supervisor]]:
    """Start a slot in a thread of its own; it is drained at the end."""
    threads: list[tuple[Supervisor, threading.Thread]] = []

    def started(name: str, **more: Any) -> Supervisor:
        slot = Supervisor(settings(module_url, tmp_path_factory.mktemp("data"), name, **more))
        threads.append((slot, threading.Thread(target=slot.run, name=name)))
        threads[-1][1].start()
        return slot

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(troubled))
        patch.setattr(deadlines, "CANCEL_S", 2.0)
        patch.setattr(trainer_process, "subprocess", with_popen(troubled_nursery.popen))
        yield started
        for slot, thread in threads:
            slot.drain()
            thread.join()


@pytest.fixture(scope="module")
def slot(start: Callable[..., Supervisor]) -> Supervisor:
    """The worker that most tests share: what one run does to it is not the next one's business."""
    start("w2", spares=0, pool="elsewhere")
    return start("w1")


def trainer_pid(slot: Supervisor) -> int:
    assert slot.trainers.active is not None
    return slot.trainers.active.pid


def spare(slot: Supervisor) -> bool:
    return any(spare.ready.is_set() for spare in slot.trainers.spares)


def test_a_dead_trainer_is_replaced_by_the_spare_within_three_seconds(slot: Supervisor, desk: Desk) -> None:
    run = desk.submit("slow", steps=10_000, seconds=0.05)
    desk.stepping(run)
    until(lambda: spare(slot))
    ready = {spare.pid for spare in slot.trainers.spares}
    os.kill(trainer_pid(slot), signal.SIGKILL)
    killed = time.monotonic()
    until(lambda: desk.run(run)["attempt"] == 2)
    assert trainer_pid(slot) in ready
    assert time.monotonic() - killed < 2
    until(lambda: desk.sql("SELECT 1 FROM metric_chunk WHERE run_id = :id AND attempt = 2", id=run))
    assert time.monotonic() - killed < 3
    assert desk.attempts(run)[0]["ending"] == "trainer_died"
    assert desk.evidence(run).keys() == {"step", "stderr"}
    desk.wish(run, "cancel")
    desk.stopped(run)


def test_the_log_of_a_run_holds_its_story_and_what_the_training_printed(slot: Supervisor, desk: Desk) -> None:
    run = desk.submit("talk", steps=10, text="hello\x1b[31m\nagain")
    assert desk.stopped(run)["state"] == "succeeded"
    lines = desk.log(run)
    assert [line["number"] for line in lines] == list(range(1, len(lines) + 1))
    assert [line["text"] for line in lines if line["source"] == "output"] == ["hello\\x1b[31m", "again"]
    said = [line["text"] for line in lines if line["source"] == "saddle"]
    assert said[:2] == ["claimed by w1", "trains from step 0 to 10"]
    assert any(text.startswith("step ") and "loss " in text for text in said)
    loss = desk.sql("SELECT last FROM series WHERE run_id = :id AND name = 'val/loss'", id=run)[0]["last"]
    assert said[-2] == "succeeded at step 10"
    assert said[-1].startswith("last values: ")
    assert f"val/loss {loss:.6g}" in said[-1]
    times = [line["at"] for line in lines]
    assert times == sorted(times)


def test_the_log_of_a_crash_ends_with_its_cause_and_each_attempt_adds_to_it(slot: Supervisor, desk: Desk) -> None:
    run = desk.submit("abort", steps=10, text="so it was", crashes=1)
    until(lambda: len(desk.attempts(run)) == 2 or desk.run(run)["state"] == "failed")
    desk.now(run)
    desk.stopped(run)
    for attempt in desk.attempts(run):
        (end,) = [line for line in desk.log(run) if line["attempt"] == attempt["attempt"] and line["level"] == "error"]
        assert "SIGABRT" in end["text"]
    assert [line["text"] for line in desk.log(run) if line["source"] == "output"].count("so it was") == len(
        desk.attempts(run)
    )


def test_a_worker_says_what_it_runs_on_and_does(slot: Supervisor, desk: Desk) -> None:
    until(lambda: desk.worker("w1")["state"] == "idle")
    assert desk.worker("w1")["device"].keys() == {"kind", "name", "memory_bytes", "threads"}
    run = desk.submit("slow", steps=10_000, seconds=0.05)
    until(lambda: desk.worker("w1")["state"] == "busy")
    assert desk.worker("w1")["run_id"] == run
    desk.wish(run, "cancel")
    desk.stopped(run)


def test_a_wish_reaches_a_run_between_two_slow_steps(slot: Supervisor, desk: Desk) -> None:
    run = desk.submit("slow", steps=100, seconds=0.7)
    desk.stepping(run)
    for wish, state in (("pause", "paused"), ("cancel", "cancelled")):
        wished = time.monotonic()
        desk.wish(run, wish)
        assert desk.stopped(run)["state"] == state
        assert time.monotonic() - wished < 2 + 0.7
        if state == "paused":
            desk.sql("UPDATE run SET state = 'queued', desired = 'run' WHERE id = :id", id=run)  # as resume does
            desk.stepping(run, desk.run(run)["step"] + 1)


def test_a_run_makes_way_after_its_turn_and_loses_nothing(start: Callable[..., Supervisor], desk: Desk) -> None:
    start("w-turns", pool="turns", turn_s=0.6, spares=0)
    plain = desk.submit("slow", steps=60, seconds=0.02, pool="turns")
    assert desk.stopped(plain)["state"] == "succeeded"
    run = desk.submit("slow", steps=60, seconds=0.02, pool="turns")
    desk.stepping(run)
    desk.sql("UPDATE run SET yields_to = 'somebody' WHERE id = :id", id=run)
    assert desk.stopped(run)["state"] == "succeeded"
    first, second = desk.attempts(run)
    assert (first["ending"], second["ending"], desk.run(run)["crash_count"]) == ("preempted", "succeeded", 0)
    assert (first["ended_at"] - first["started_at"]).total_seconds() > 0.6
    assert first["cut_step"] == second["start_step"] >= 10
    mine, undisturbed = (points(desk, each)["loss"] for each in (run, plain))
    assert np.array_equal(mine.steps, np.arange(1, 61))
    assert np.array_equal(mine.values, undisturbed.values)
    last = desk.sql("SELECT max(last_step) AS step FROM metric_chunk WHERE run_id = :id AND attempt = 1", id=run)
    assert last[0]["step"] == second["start_step"], "no step was trained twice"


def test_a_pause_taken_back_too_late_for_the_trainer_queues_the_run_again(slot: Supervisor, desk: Desk) -> None:
    run = desk.submit("slow", steps=6, seconds=0.7)
    desk.stepping(run)
    desk.wish(run, "pause")
    time.sleep(0.5)  # it has heard by now, and is within a step
    desk.wish(run, "run")
    assert desk.stopped(run)["state"] == "succeeded"
    assert desk.attempts(run)[-1]["environment"]["memory"]["peak_bytes"] >= 0  # beside what the trainer reported first
    assert desk.attempts(run)[-1]["environment"]["torch"]


def test_a_run_that_pauses_by_itself_equals_one_that_never_paused(slot: Supervisor, desk: Desk) -> None:
    whole = desk.submit(steps=60)
    run = desk.submit(steps=60, pause_at=25)
    assert desk.stopped(whole)["state"] == "succeeded"
    for pause_at, after in ((25, 40), (40, None)):
        row = desk.stopped(run)
        assert (row["state"], row["step"], row["checkpoint_step"]) == ("paused", pause_at, pause_at)
        assert points(desk, run)["val/loss"].steps[-1] == pause_at
        with transaction(desk.engine) as connection:
            decisions.continue_runs(connection, row["experiment_id"], after, by="a study", why="it is among the best")
    assert desk.stopped(run)["state"] == "succeeded"
    mine, undisturbed = points(desk, run), points(desk, whole)
    for name in ("loss", "val/loss"):
        assert np.array_equal(mine[name].steps, undisturbed[name].steps)
        assert np.array_equal(mine[name].values, undisturbed[name].values)
    assert [each["ending"] for each in desk.attempts(run)] == ["paused", "paused", "succeeded"]
    assert desk.attempts(run)[0]["detail"] == "at step 25, where it was to pause"


@pytest.mark.parametrize(("wish", "state"), [("cancel", "cancelled"), ("pause", "paused")])
def test_a_wish_counts_before_the_step_where_a_run_was_to_pause(
    slot: Supervisor, desk: Desk, wish: str, state: str
) -> None:
    run = desk.submit("slow", steps=100, seconds=0.05, pause_at=90)
    desk.stepping(run)
    desk.wish(run, wish)
    row = desk.stopped(run)
    assert row["state"] == state
    assert row["step"] < 90
    assert row["pause_at"] == 90


@pytest.mark.parametrize(("wish", "state"), [("cancel", "cancelled"), ("pause", "paused")])
def test_a_stopped_trainer_is_ended_and_the_wish_granted(slot: Supervisor, desk: Desk, wish: str, state: str) -> None:
    run = desk.submit("slow", steps=10_000, seconds=0.05)
    desk.stepping(run)
    os.kill(trainer_pid(slot), signal.SIGSTOP)
    desk.wish(run, wish)
    ended = desk.stopped(run)
    assert (ended["state"], ended["crash_count"]) == (state, 0)
    assert "did not obey" in desk.attempts(run)[0]["detail"]


def test_an_operation_that_strict_refuses_fails_the_run_at_once(slot: Supervisor, desk: Desk) -> None:
    desk.stopped(desk.submit())
    before = trainer_pid(slot)
    run = desk.submit("scatter", at=3)
    ended = desk.stopped(run)
    assert (ended["state"], ended["failure"]["code"], ended["crash_count"]) == ("failed", "nondeterministic", 0)
    assert "put_ has no deterministic kernel on this device" in ended["failure"]["detail"]
    assert len(desk.attempts(run)) == 1
    assert trainer_pid(slot) == before  # nothing is wrong with the trainer


def test_warn_trains_it_and_says_that_nothing_is_promised(slot: Supervisor, desk: Desk) -> None:
    run = desk.submit("scatter", at=3, determinism="warn")
    assert desk.stopped(run)["state"] == "succeeded"
    (reading,) = desk.sql("SELECT * FROM reading WHERE run_id = :id AND kind = 'nondeterministic_operations'", id=run)
    assert (reading["step"], reading["data"]) == (3, {"operations": ["put_"]})
    assert desk.attempts(run)[0]["environment"]["reproducible"] is False
    (event,) = desk.sql("SELECT * FROM event WHERE run_id = :id AND kind = 'not_reproducible'", id=run)
    assert event["data"]["why"] == "determinism is warn"


def test_a_trainer_that_hangs_is_ended_and_leaves_its_stack(slot: Supervisor, desk: Desk) -> None:
    run = desk.submit("hang", at=4)
    until(lambda: desk.run(run)["crash_count"] == 1)
    (attempt, *_) = desk.attempts(run)
    assert attempt["ending"] == "stalled"
    found = desk.evidence(run)
    assert (found["step"], 1.5 < found["seconds"] < 6) == (3, True)
    assert "get_into_it" in found["stack"]
    desk.sql("UPDATE run SET state = 'cancelled', lease = NULL WHERE id = :id", id=run)


def test_a_probe_job_whose_trainer_dies_looks_again_and_is_read_once(slot: Supervisor, desk: Desk) -> None:
    run = desk.submit("slow", steps=3, seconds=0.05)
    desk.stopped(run)
    job = desk.probe(run, {"kind": "gradient_check"}, {"kind": "spectral_density", "iterations": 10, "vectors": 3})
    until(lambda: desk.readings(job))
    os.kill(trainer_pid(slot), signal.SIGKILL)
    ended = desk.stopped(job)
    assert (ended["state"], ended["attempt"], ended["step"]) == ("succeeded", 2, 3)
    assert desk.attempts(job)[0]["ending"] == "trainer_died"
    with transaction(desk.engine) as connection:
        found = probe_results.of_run(connection, desk.principal, run, None, 0, 100)
    assert [(each.kind, each.attempt) for each in found if each.run_id == job] == [
        ("gradient_check", 2),
        ("spectral_density", 2),
    ]


def test_a_trainer_that_dies_in_an_autopsy_takes_nothing_of_the_failure(slot: Supervisor, desk: Desk) -> None:
    run = desk.submit("nan", at=4)  # no evaluation follows, which would meet it again
    ended = desk.stopped(run)
    assert (ended["state"], ended["failure"]["code"], ended["crash_count"]) == ("failed", "diverged", 0)
    assert ended["failure"]["evidence"]["step"] == 4
    assert desk.readings(run) == [], "it died before it found anything"


def test_a_long_evaluation_is_no_stall(slot: Supervisor, desk: Desk) -> None:
    run = desk.submit("long_evaluation", steps=5, seconds=2.5)
    assert desk.stopped(run)["state"] == "succeeded"
    assert len(desk.attempts(run)) == 1


def test_a_run_that_had_its_time_fails_with_a_checkpoint_to_go_on_from(slot: Supervisor, desk: Desk) -> None:
    run = desk.submit("slow", steps=1000, limit_s=1.5, seconds=0.1)
    ended = desk.stopped(run)
    assert (ended["state"], ended["failure"]["code"]) == ("failed", "time_limit")
    evidence = ended["failure"]["evidence"]
    assert evidence["checkpoint_step"] == ended["checkpoint_step"] == evidence["step"] > 3
    assert (evidence["limit_s"], 1.5 <= evidence["seconds"] < 4) == (1.5, True)


def test_a_full_gpu_is_tried_once_more_and_fails_at_the_same_step(slot: Supervisor, desk: Desk) -> None:
    run = desk.submit("cuda_oom", at=3)
    failure = desk.stopped(run)["failure"]
    assert [attempt["ending"] for attempt in desk.attempts(run)] == ["cuda_oom", "cuda_oom"]
    assert (failure["code"], failure["evidence"]["step"]) == ("cuda_oom", 2)
    assert 0 < failure["evidence"]["estimate_bytes"] < failure["evidence"]["limit_bytes"]


def test_a_run_that_crashes_its_trainer_fails_after_three_and_hurts_no_other(slot: Supervisor, desk: Desk) -> None:
    poison, other = desk.submit("segfault", at=1), desk.submit(steps=20)
    until(lambda: (desk.now(poison), desk.run(poison)["state"] == "failed")[1], 120)
    failure = desk.run(poison)["failure"]
    assert failure["code"] == "crash_loop"
    assert [attempt["detail"] for attempt in desk.attempts(poison)] == ["ended by signal SIGSEGV"] * 3
    assert "Segmentation fault" in failure["evidence"]["stderr"]
    assert desk.stopped(other)["state"] == "succeeded"


def test_what_a_trainer_writes_is_capped_and_its_end_kept(
    slot: Supervisor, desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    run = desk.submit("chatter")
    until(lambda: desk.run(run)["crash_count"] == 1)
    desk.sql("UPDATE run SET state = 'cancelled', lease = NULL WHERE id = :id AND state <> 'running'", id=run)
    assert desk.evidence(run)["stderr"].endswith("the last words\n")
    assert desk.attempts(run)[0]["detail"] == "ended with exit status 3"
    said = [record.getMessage() for record in caplog.records if f"[{run} attempt 1]" in record.getMessage()]
    assert 0 < sum(len(message) for message in said) < 600_000
    assert all(message.isprintable() for message in said)


@contextmanager
def away(server: EmbeddedPostgres, url: str) -> Iterator[None]:
    """A database that ends every connection and takes no new one."""
    name = url.partition("?")[0].rsplit("/", 1)[1]
    allow = sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS {}")
    end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s"
    with psycopg.connect(server.dsn("postgres"), autocommit=True) as session:
        session.execute(allow.format(sql.Identifier(name), sql.SQL("false")))
        session.execute(end, [name])
        yield
        session.execute(allow.format(sql.Identifier(name), sql.SQL("true")))


def points(desk: Desk, run_id: str) -> dict[str, read.Curve]:
    with transaction(desk.engine) as connection:
        names = [summary.name for summary in read.summaries(connection, [run_id])[run_id]]
        return read.curves_of_run(connection, run_id, names)


def test_points_wait_on_disk_while_postgres_is_away_and_none_is_lost(
    slot: Supervisor, desk: Desk, postgres: EmbeddedPostgres, module_url: str
) -> None:
    run = desk.submit(steps=2500)
    desk.stepping(run, 300)
    assert slot.trainers.active is not None
    frames = slot.trainers.active.frames
    with away(postgres, module_url):
        until(lambda: frames.spooled_bytes > 10_000)
        assert frames.used_bytes <= 20_000
    assert desk.stopped(run)["state"] == "succeeded"
    assert (frames.spooled_bytes, frames.used_bytes, len(desk.attempts(run))) == (0, 0, 1)
    found = points(desk, run)
    for name, every in (("loss", 1), ("lr", 1), ("val/loss", 5)):
        assert found[name].steps.tolist() == list(range(every, 2501, every))


def test_a_worker_that_starts_while_postgres_is_away_waits_for_it(
    start: Callable[..., Supervisor],
    desk: Desk,
    postgres: EmbeddedPostgres,
    module_url: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with away(postgres, module_url):
        start("w4", spares=0, pool="nowhere")
        until(lambda: "the worker starts when it does" in caplog.text)
    until(lambda: desk.sql("SELECT 1 FROM worker WHERE name = 'w4'"))


def test_a_run_says_what_it_takes_of_the_machine(slot: Supervisor, desk: Desk) -> None:
    run = desk.submit("slow", steps=30, seconds=0.05)
    assert desk.stopped(run)["state"] == "succeeded"
    found = {name.removeprefix("system/"): curve for name, curve in points(desk, run).items() if "system/" in name}
    assert found.keys() == {"host_memory_bytes", "cpu_percent", "steps_per_s", "samples_per_s"}
    assert all(len(curve.steps) >= 2 and (np.diff(curve.steps) > 0).all() for curve in found.values())
    assert (found["host_memory_bytes"].values > 100e6).all()  # torch alone
    assert (found["steps_per_s"].values < 20).all()
    np.testing.assert_allclose(found["samples_per_s"].values, 32 * found["steps_per_s"].values)


ECC = "CUDA error: uncorrectable ECC error encountered"
ASSERTION = "Loss.cu:257: nll_loss: block: [0,0,0], thread: [4,0,0] Assertion `t >= 0 && t < n_classes` failed."


@pytest.mark.parametrize(
    ("trouble", "text", "ending", "cause", "before"),
    [
        ("label", "", "crashed", "label is outside 0..K-1", 2),
        ("token", "", "crashed", "number of embeddings", 2),
        ("assert", ASSERTION, "crashed", "label is outside 0..K-1", 2),
        ("raise", "CUDA error: an illegal memory access was encountered", "crashed", "left its tensor", 2),
        ("raise", ECC, "crashed", "look for Xid lines", 2),
        ("abort", f"what():  {ECC}", "trainer_died", "look for Xid lines", 0),
    ],
)
def test_an_error_of_the_run_ends_it_after_three_attempts_and_leaves_the_worker_healthy(
    slot: Supervisor, desk: Desk, trouble: str, text: str, ending: str, cause: str, before: int
) -> None:
    """Of a run that has crashed `before` times, since each attempt costs the start of a trainer."""
    run = desk.submit(trouble, at=3, text=text, crashes=before)
    other = desk.submit(steps=5)
    until(lambda: (desk.now(run), desk.run(run)["state"] == "failed")[1], 120)
    failure = desk.run(run)["failure"]
    assert [attempt["ending"] for attempt in desk.attempts(run)] == [ending] * (3 - before)
    assert failure["code"] == "crash_loop"
    assert cause in failure["detail"]
    assert cause in failure["evidence"]["cause"]
    assert failure["evidence"].get("assertion") == (text if trouble == "assert" else None)
    assert failure["evidence"].get("device", "").startswith("works") == (ECC in text)
    assert slot.unhealthy is None
    assert desk.stopped(other)["state"] == "succeeded"


def test_memory_that_is_full_when_the_model_is_built_ends_the_run_after_two_attempts(
    slot: Supervisor, desk: Desk
) -> None:
    run = desk.submit(
        "raise_at_build", text="CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"
    )
    failure = desk.stopped(run)["failure"]
    assert [attempt["ending"] for attempt in desk.attempts(run)] == ["cuda_oom"] * 2
    assert (failure["code"], failure["evidence"]["step"]) == ("cuda_oom", None)
    assert failure["evidence"]["estimate_bytes"] > 0
    assert "try a smaller batch" in failure["detail"]


def break_device(slot: Supervisor) -> None:
    """Let no further trainer of this worker start: torch for the CPU knows no such device."""
    until(lambda: slot.is_warm)
    slot.trainers.settings = slot.settings.model_copy(update={"devices": "7"})


def test_a_device_on_which_no_fresh_trainer_starts_is_broken_and_the_run_moves(
    start: Callable[..., Supervisor], desk: Desk
) -> None:
    slots = [start(name, spares=0, pool="broken") for name in ("w5", "w6")]
    for each in slots:
        break_device(each)
    run = desk.submit("raise", pool="broken", text=ECC, at=3)
    failure = desk.stopped(run, 120)["failure"]
    attempts = desk.attempts(run)
    assert failure["code"] == "device_loop"
    assert [attempt["ending"] for attempt in attempts] == ["device_failed"] * 2
    assert {attempt["worker"] for attempt in attempts} == {"w5", "w6"}
    assert failure["evidence"]["device"].startswith("no trainer starts on")
    for each, name in zip(slots, ("w5", "w6"), strict=True):
        until(lambda each=each: each.unhealthy)
        until(lambda name=name: desk.worker(name)["state"] == "unhealthy")
        assert "uncorrectable ECC" in desk.worker(name)["detail"]


def test_while_a_device_is_checked_the_lease_is_kept_and_a_cancel_is_obeyed(
    start: Callable[..., Supervisor], desk: Desk
) -> None:
    slot = start("w7", spares=0, pool="checked")
    break_device(slot)
    run = desk.submit("raise", pool="checked", text=ECC, at=3)
    until(lambda: slot.trainers.start_failure)
    beat = desk.run(run)["beat"]
    until(lambda: desk.run(run)["beat"] > beat + 1)
    desk.wish(run, "cancel")
    wished = time.monotonic()
    assert desk.stopped(run)["state"] == "cancelled"
    assert time.monotonic() - wished < 2
    assert desk.evidence(run)["device"].startswith("not checked")


def test_a_trainer_that_hangs_in_its_start_counts_as_one_that_does_not_start(
    start: Callable[..., Supervisor], desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainer_process, "subprocess", subprocess)  # a start that takes longer than the limit
    monkeypatch.setattr(trainer_pool, "START_LIMIT_S", 0.2)
    monkeypatch.setattr(trainer_pool, "START_PAUSE_S", 0.1)
    slot = start("w8", spares=0, pool="hanging")
    until(lambda: slot.unhealthy)
    assert "it did not respond" in str(slot.unhealthy)
