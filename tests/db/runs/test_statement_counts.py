"""Work on all runs of an experiment takes as many statements for many seeds as for few."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from sqlalchemy import Connection, Engine

from service.db.access.projects import Principal
from service.db.experiments import experiments
from service.db.metrics import experiment_summary
from service.db.runs import derived_runs, desired_state, queue, runs
from service.db.session import transaction
from service.experiments.answers import read_experiment
from service.lifecycle import State
from service.spec.experiment import Experiment

SPEC = Experiment.model_validate_json(
    """{"dataset": {"kind": "iris"}, "model": {"kind": "linear"}, "loss": {"kind": "cross_entropy"},
    "optimizer": {"kind": "sgd"}, "steps": 10}"""
)

CONNECTING = ("", ";")  # what the pool sends to see whether a connection lives


@contextmanager
def counted() -> Iterator[list[str]]:
    """Every statement that this thread sends inside; other threads of this process, as a poller, have their own."""
    sent, execute, mine = list[str](), psycopg.Cursor.execute, threading.get_ident()

    def record(cursor: Any, query: Any, *given: Any, **options: Any) -> Any:
        if threading.get_ident() == mine and str(query) not in CONNECTING:
            sent.append(str(query))
        return execute(cursor, query, *given, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(psycopg.Cursor, "execute", record)
        yield sent


def life(connection: Connection, principal: Principal, seeds: int) -> None:
    """Post an experiment of so many seeds, pause, resume and cancel it, and read it."""
    spec = SPEC.model_copy(update={"seeds": tuple(range(seeds))})
    experiment_id, _ = experiments.add(connection, principal, spec, "cpu")
    waiting = [run.id for run in runs.all_of_experiments(connection, [experiment_id])]
    queue.positions(connection, waiting)
    for command in (desired_state.pause_all, desired_state.resume_all, desired_state.cancel_all):
        command(connection, principal, experiment_id)
    read_experiment(connection, principal, experiment_id)
    experiment_summary.settle(connection)
    found = runs.all_of_experiments(connection, [experiment_id])
    assert [run.state for run in found] == [State.CANCELLED] * seeds


def test_an_experiment_of_many_seeds_takes_as_many_statements_as_one_of_few(
    engine: Engine, principal: Principal
) -> None:
    with transaction(engine) as connection:
        with counted() as few:
            life(connection, principal, 5)
        with counted() as many:
            life(connection, principal, 50)
    assert len(many) == len(few)


def test_a_retry_at_the_end_of_a_long_line_takes_as_many_statements_as_the_first(
    engine: Engine, principal: Principal
) -> None:
    with transaction(engine) as connection:
        experiment_id, _ = experiments.add(connection, principal, SPEC, "cpu")
        (run,) = runs.all_of_experiments(connection, [experiment_id])
        sent, last = list[int](), run.id
        for _ in range(5):
            desired_state.cancel(connection, principal, last)
            with counted() as statements:
                last, _ = derived_runs.retry(connection, principal, last, "start")
            sent.append(len(statements))
    assert len(set(sent)) == 1
