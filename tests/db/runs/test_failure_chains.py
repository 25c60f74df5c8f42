"""However attempts fail, on one worker or on two, a run without a new checkpoint ends after three."""

import uuid
from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any

import pytest
from sqlalchemy import Connection, text

from service.db.access.projects import find_principal, new_key
from service.db.experiments import experiments
from service.db.runs import claims, endings, leases
from service.db.runs.claims import Claim, SavedCheckpoint
from service.db.session import make_engine
from service.lifecycle import CRASH_BUDGET, State
from service.spec.experiment import Experiment

SPEC = Experiment.model_validate_json(
    """{"dataset": {"kind": "iris"}, "model": {"kind": "linear"}, "loss": {"kind": "cross_entropy"},
    "optimizer": {"kind": "sgd"}, "steps": 1000, "seeds": [0]}"""
)
KINDS = ("crashed", "device_failed", "cuda_oom")
ONE, TWO = "w1", "w2"
Failure = tuple[str, str]  # kind, worker


@pytest.fixture
def connection(shared_url: str) -> Iterator[Connection]:
    engine = make_engine(shared_url, pool_size=1)
    with engine.connect() as connection:
        yield connection
        connection.rollback()
    engine.dispose()


def run_through(connection: Connection, failures: Sequence[Failure], step: int | None = 3) -> list[Any]:
    """Let the attempts of a new run fail one after the other, while it is queued; return its row after each."""
    pool = uuid.uuid4().hex
    principal = find_principal(connection, new_key(connection, pool, "ada"))
    assert principal is not None
    experiments.add(connection, principal, SPEC, pool)
    rows: list[Any] = []
    for kind, worker in failures:
        claim = claims.claim(connection, [pool], worker, uuid.uuid4().hex)
        if claim is None:
            break
        fail(connection, claim, kind, step)
        values = {"id": claim.run_id}
        connection.execute(text("UPDATE run SET not_before = clock_timestamp() WHERE id = :id"), values)
        rows.append(connection.execute(text("SELECT * FROM run WHERE id = :id"), values).one())
    return rows


def fail(connection: Connection, claim: Claim, kind: str, step: int | None) -> None:
    evidence = {"step": step}
    if kind == "device_failed":
        endings.record_device_failure(connection, claim, "", evidence)
    elif kind == "cuda_oom":
        endings.record_cuda_oom(connection, claim, {}, "", evidence)
    else:
        endings.record_crash(connection, claim, kind, "", evidence)


def test_no_chain_of_failures_takes_more_than_three_attempts(connection: Connection) -> None:
    for failures in product(product(KINDS, (ONE, TWO)), repeat=CRASH_BUDGET):
        with connection.begin_nested() as savepoint:
            rows = run_through(connection, failures)
            savepoint.rollback()
        assert rows[-1].state == State.FAILED, failures


def test_a_run_that_breaks_the_same_worker_again_and_again_ends_after_three(connection: Connection) -> None:
    rows = run_through(connection, [("device_failed", ONE)] * 50)
    assert [(row.state, row.crash_count, row.device_count) for row in rows] == [
        ("queued", 1, 1),
        ("queued", 2, 1),
        ("failed", 3, 1),
    ]
    assert (rows[-1].failure["code"], rows[-1].failure["evidence"]["last_kind"]) == ("crash_loop", "device_failed")


def test_a_run_that_breaks_two_workers_ends_after_two(connection: Connection) -> None:
    rows = run_through(connection, [("device_failed", ONE), ("device_failed", TWO)] * 25)
    assert [row.state for row in rows] == ["queued", "failed"]
    assert rows[-1].failure["code"] == "device_loop"


@pytest.mark.parametrize("workers", [(ONE,), (ONE, TWO)])
def test_a_run_whose_own_error_kills_trainers_ends_after_three(
    connection: Connection, workers: tuple[str, ...]
) -> None:
    rows = run_through(connection, [("crashed", worker) for worker in workers * 50])
    assert [row.state for row in rows] == ["queued", "queued", "failed"]


@pytest.mark.parametrize("step", [None, 0, 7])
def test_memory_that_runs_out_twice_at_the_same_point_ends_the_run(connection: Connection, step: int | None) -> None:
    rows = run_through(connection, [("cuda_oom", ONE)] * 50, step)
    assert [row.state for row in rows] == ["queued", "failed"]
    assert rows[-1].failure["code"] == "cuda_oom"


def test_a_new_checkpoint_gives_a_broken_device_its_attempts_back(connection: Connection) -> None:
    pool = uuid.uuid4().hex
    principal = find_principal(connection, new_key(connection, pool, "ada"))
    assert principal is not None
    experiments.add(connection, principal, SPEC, pool)
    for attempt in range(1, 6):
        claim = claims.claim(connection, [pool], ONE, uuid.uuid4().hex)
        assert claim is not None
        saved = SavedCheckpoint(attempt * 10, f"/nowhere/{attempt}", "0" * 64, 1)
        leases.save_checkpoint(connection, claim, saved, {})
        assert endings.record_device_failure(connection, claim, "", {}) is State.QUEUED
