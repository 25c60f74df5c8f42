"""Work on all runs of an experiment takes as many statements for many seeds as for few."""

import numpy as np
import pytest
from sqlalchemy import Connection, Engine

from service.analysis.result import final_stretch
from service.db.access.principal import Principal
from service.db.experiments import experiments
from service.db.metrics import experiment_summary, read, write
from service.db.metrics.codec import pack
from service.db.runs import claims, derived_runs, desired_state, leases, positions, runs
from service.db.session import transaction
from service.experiments.answers import read_experiment
from service.lifecycle import State
from service.spec.experiment import Experiment
from tests.harness.statements import sent_statements

SPEC = Experiment.model_validate_json(
    """{"dataset": {"kind": "iris"}, "model": {"kind": "linear"}, "loss": {"kind": "cross_entropy"},
    "optimizer": {"kind": "sgd"}, "steps": 10}"""
)


def life(connection: Connection, principal: Principal, seeds: int) -> None:
    """Post an experiment of so many seeds, pause, resume and cancel it, and read it."""
    spec = SPEC.model_copy(update={"seeds": tuple(range(seeds))})
    experiment_id = experiments.add(connection, principal, spec, "cpu").id
    waiting = [run.id for run in runs.all_of_experiments(connection, [experiment_id])]
    positions.positions(connection, waiting)
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
        with sent_statements() as few:
            life(connection, principal, 5)
        with sent_statements() as many:
            life(connection, principal, 50)
    assert len(many) == len(few)


def test_a_retry_at_the_end_of_a_long_line_takes_as_many_statements_as_the_first(
    engine: Engine, principal: Principal
) -> None:
    with transaction(engine) as connection:
        experiment_id = experiments.add(connection, principal, SPEC, "cpu").id
        (run,) = runs.all_of_experiments(connection, [experiment_id])
        sent, last = list[int](), run.id
        for _ in range(5):
            desired_state.cancel(connection, principal, last)
            with sent_statements() as statements:
                last, _ = derived_runs.retry(connection, principal, last, "start")
            sent.append(len(statements))
    assert len(set(sent)) == 1


def test_final_means_of_many_series_take_as_many_statements_as_those_of_few(
    engine: Engine, principal: Principal
) -> None:
    sent = []
    with transaction(engine) as connection:
        for count in (2, 10):
            experiments.add(connection, principal, SPEC, "cpu")
            held = claims.claim(connection, ["cpu"], "w1", f"lease {count}")
            assert held is not None
            lengths = {f"loss/{at}": 100 * at for at in range(1, count + 1)}
            for first in (0, 500):  # two chunks of the longer ones
                ends = {name: min(length - first, 500) for name, length in lengths.items() if length > first}
                steps = {name: np.arange(first + 1, first + n + 1) for name, n in ends.items()}
                leases.flush(connection, held, {name: pack(each, np.sqrt(each)) for name, each in steps.items()})
            with sent_statements() as statements:
                write.finalise(connection, held.run_id, [*lengths, "none"])
            sent.append(len(statements))
            for found in read.summaries(connection, [held.run_id])[held.run_id]:
                first = final_stretch(lengths[found.name])
                assert found.final_from == first
                assert found.final == pytest.approx(np.sqrt(np.arange(first, lengths[found.name] + 1)).mean())
    assert sent == [3, 3]
