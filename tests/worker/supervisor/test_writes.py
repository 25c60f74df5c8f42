"""What several attempts write is committed once, whatever becomes of the answer."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import pytest
from sqlalchemy import Connection, Engine, text

from service.db.access.principal import Principal
from service.db.experiments import experiments
from service.db.metrics.codec import Chunk, pack
from service.db.runs import claims, companions, endings, leases
from service.db.runs.claims import Claim, SavedCheckpoint
from service.db.session import transaction
from service.errors import Unavailable
from service.lifecycle import State
from service.spec.experiment import Experiment
from worker.supervisor.attempts import writes
from worker.supervisor.attempts.attempt import log
from worker.supervisor.attempts.writes import AttemptWrites, GroupWriter
from worker.supervisor.output import RunLog

SPEC = Experiment.model_validate_json(
    """{"dataset": {"kind": "iris"}, "model": {"kind": "linear"}, "loss": {"kind": "cross_entropy"},
    "optimizer": {"kind": "sgd"}, "steps": 1000, "seeds": [0, 1]}"""
)


def points(first: int, last: int) -> dict[str, Chunk]:
    steps = np.arange(first, last + 1)
    return {"loss": pack(steps, 1 / steps)}


def add_all(each: AttemptWrites) -> None:
    """Points up to three checkpoints, whose chunks are joined, and points behind them."""
    for first, last in ((1, 10), (11, 20), (21, 30)):
        each.add_flush(leases.Flush(each.claim, points(first, last)), lambda _: None)
        saved = SavedCheckpoint(last, f"/nowhere/{each.claim.run_id}/step-{last}", "0" * 64, 10)
        each.add(partial(leases.save_checkpoint, claim=each.claim, saved=saved, chunks={}))
    each.add_flush(leases.Flush(each.claim, points(31, 35)), lambda _: None)


def finish(claim: Claim, connection: Connection) -> State:
    return endings.finish(connection, claim, State.SUCCEEDED, {})


@pytest.mark.parametrize("ends", [False, True])
def test_a_commit_whose_answer_is_lost_is_not_written_again(
    engine: Engine, principal: Principal, monkeypatch: pytest.MonkeyPatch, ends: bool
) -> None:
    with transaction(engine) as connection:
        experiments.add(connection, principal, SPEC, "cpu")
        first = claims.claim(connection, ["cpu"], "w1", uuid.uuid4().hex)
        assert first is not None
        held = [first, *companions.claim(connection, first, [uuid.uuid4().hex])]
    lost: list[int] = []

    @contextmanager
    def forgetful(engine: Engine) -> Iterator[Connection]:
        with transaction(engine) as connection:
            yield connection
        if len(lost) < 2:
            lost.append(1)
            raise Unavailable("no answer")

    monkeypatch.setattr(writes, "transaction", forgetful)
    monkeypatch.setattr(writes, "RETRY_S", 0.0)
    group = [AttemptWrites(each, RunLog(log, {"run": each.run_id, "attempt": 1, "request": None})) for each in held]
    states: list[Any] = []
    for each in group:
        add_all(each)
        if ends:
            each.add_end(partial(finish, each.claim), states.append)
    assert GroupWriter(engine, lambda _: None, lambda: None, lambda: None).commit(group) == []
    assert len(lost) == 2
    assert states == ([State.SUCCEEDED] * 2 if ends else [])
    with transaction(engine) as connection:
        for each in held:
            query = "SELECT sum(n), min(first_step), max(last_step) FROM metric_chunk WHERE run_id = :id"
            assert tuple(connection.execute(text(query), {"id": each.run_id}).one()) == (35, 1, 35)
            query = "SELECT n FROM series WHERE run_id = :id"
            assert connection.execute(text(query), {"id": each.run_id}).scalar_one() == 35
