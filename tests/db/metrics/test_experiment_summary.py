"""Figures that are written down equal those that are computed, and no retry slips between looking and writing."""

import importlib
import random
import uuid
from typing import Any

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import OperationalError

from service.db.access.principal import Principal
from service.db.experiments import experiments, lists
from service.db.experiments.lists import Order
from service.db.metrics import experiment_summary
from service.db.metrics.codec import pack
from service.db.runs import claims, derived_runs, endings, leases
from service.db.runs.claims import Claim
from service.db.session import transaction
from service.lifecycle import State
from service.spec.experiment import Experiment
from service.spec.filters.language import Figure

SPEC = Experiment.model_validate_json(
    """{"dataset": {"kind": "iris"}, "model": {"kind": "linear"}, "loss": {"kind": "cross_entropy"},
    "optimizer": {"kind": "sgd"}, "steps": 1000, "seeds": [0, 1, 2]}"""
)
FIGURES = [Figure(each, "loss") for each in ("last", "min", "max", "best")] + [Figure("best", "val/accuracy")]
SPECIAL = [float("nan"), float("inf"), float("-inf"), 5e-324, -0.0, 1e308]


def post(engine: Engine, principal: Principal) -> None:
    with transaction(engine) as connection:
        experiments.add(connection, principal, SPEC, "cpu")


def take(engine: Engine) -> Claim:
    with transaction(engine) as connection:
        held = claims.claim(connection, ["cpu"], "w1", uuid.uuid4().hex)
    assert held is not None
    return held


def end(engine: Engine, held: Claim, values: list[float], state: State = State.SUCCEEDED) -> None:
    steps = list(range(1, len(values) + 1))
    chunks = {"loss": pack(steps, values)} | ({"val/accuracy": pack(steps, values)} if held.seed else {})
    failure: Any = {"code": "diverged", "detail": "the loss is nan"} if state is State.FAILED else None
    with transaction(engine) as connection:
        endings.finish(connection, held, state, chunks, failure)


def listed(engine: Engine, principal: Principal, order: Order) -> list[tuple[Any, ...]]:
    with transaction(engine) as connection:
        found = lists.experiments(connection, principal, 100, None, order, None, FIGURES)
        summaries = experiment_summary.of_experiments(connection, [row.id for row in found])
    return [(row.id, row.value, *row.columns, summaries.get(row.id)) for row in found]


@pytest.mark.parametrize("seed", range(5))
def test_what_is_written_down_is_what_would_be_computed(engine: Engine, principal: Principal, seed: int) -> None:
    """Seeds, retries, values that are no numbers, some still going; in every order."""
    rng = random.Random(seed)
    for _ in range(8):
        post(engine, principal)
    for _ in range(20):
        held = take(engine)
        values = [rng.choice(SPECIAL) if rng.random() < 0.3 else rng.gauss(0, 1) for _ in range(rng.randint(1, 4))]
        failed = rng.random() < 0.4
        end(engine, held, values, State.FAILED if failed else State.SUCCEEDED)
        if failed and rng.random() < 0.5:
            with transaction(engine) as connection:
                derived_runs.retry(connection, principal, held.run_id, "start")
    orders = [Order(figure, descending) for figure in FIGURES for descending in (False, True)]
    computed = [listed(engine, principal, order) for order in orders]
    with transaction(engine) as connection:
        settled = experiment_summary.settle(connection)
        assert 0 < settled < 8
        assert experiment_summary.settle(connection) == 0
    assert [listed(engine, principal, order) for order in orders] == computed


def test_values_whose_squares_overflow_have_no_spread(engine: Engine, principal: Principal) -> None:
    post(engine, principal)
    for value in (1.0, 1e308, -1e308):
        end(engine, take(engine), [value])
    with transaction(engine) as connection:
        assert experiment_summary.settle(connection) == 1
    ((_, _, *_, found),) = listed(engine, principal, Order())
    assert (found.n, found.last_spread, found.best_spread) == (2, None, None)


def test_a_list_reads_what_is_written_down(engine: Engine, principal: Principal) -> None:
    post(engine, principal)
    for _ in range(3):
        end(engine, take(engine), [0.5])
    with transaction(engine) as connection:
        assert experiment_summary.settle(connection) == 1
        connection.execute(text("UPDATE experiment_figure SET last = 7 WHERE name = 'loss'"))
    ((_, value, *_),) = listed(engine, principal, Order(FIGURES[0]))
    assert value == 7


def test_a_retry_waits_for_the_settling_and_takes_it_back(engine: Engine, principal: Principal) -> None:
    post(engine, principal)
    held = [take(engine) for _ in range(3)]
    for each in held:
        end(engine, each, [0.5], State.FAILED)
    with transaction(engine) as settling:
        assert experiment_summary.settle(settling) == 1
        with pytest.raises(OperationalError, match="lock timeout"), engine.connect() as retrying:  # noqa: PT012
            retrying.execute(text("SET LOCAL lock_timeout = '100ms'"))
            derived_runs.retry(retrying, principal, held[0].run_id, "start")
    with transaction(engine) as retrying:
        derived_runs.retry(retrying, principal, held[0].run_id, "start")
        with transaction(engine) as settling:
            assert experiment_summary.settle(settling) == 0
    with transaction(engine) as connection:
        assert not connection.execute(text("SELECT settled FROM experiment")).scalar_one()
        assert experiment_summary.settle(connection) == 0, "its retry has not ended"


def test_many_are_settled_in_several_turns(
    engine: Engine, principal: Principal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(experiment_summary, "BATCH_EXPERIMENTS", 2)
    for _ in range(3):
        post(engine, principal)
    for _ in range(9):
        end(engine, take(engine), [0.5])
    turns = []
    for _ in range(3):
        with transaction(engine) as connection:
            turns.append(experiment_summary.settle(connection))
    assert turns == [2, 1, 0]


def test_the_migration_writes_the_final_stretch_of_runs_that_ended_before(engine: Engine, principal: Principal) -> None:
    """As the worker writes it with a run's end; of a run of whole batches and one that failed there is none."""
    whole = SPEC.model_copy(update={"batch_size": "full"})
    for spec in (SPEC, whole):
        with transaction(engine) as connection:
            experiments.add(connection, principal, spec, "cpu")
    rng = random.Random(0)
    for at in range(6):
        held = take(engine)
        for begin in (1, 301, 601):  # in several chunks, with an infinite value where it is no loss
            values = [rng.gauss(1, 0.1) for _ in range(300)]
            norms = [*values[:-1], float("inf")]
            steps = range(begin, begin + 300)
            with transaction(engine) as connection:
                leases.flush(connection, held, {"loss": pack(steps, values), "grad_norm": pack(steps, norms)})
        failure: Any = {"code": "crash_loop", "detail": ""} if at == 1 else None
        with transaction(engine) as connection:
            endings.finish(connection, held, State.FAILED if failure else State.SUCCEEDED, {}, failure)
    read = text("SELECT id, final, final_from FROM series ORDER BY id")
    with transaction(engine) as connection:
        written = connection.execute(read).all()
        assert [row.final_from for row in written] == [856, 856, 601, 601, 856, 856, *[None] * 6]
        connection.execute(text("UPDATE series SET final = NULL, final_from = NULL"))
        migration = importlib.import_module("migrations.versions.0014_results")
        connection.execute(text(migration.FINAL.replace("::", r"\:\:")))
        for row, before in zip(connection.execute(read).all(), written, strict=True):
            if before.final_from == 601:  # the failed run's newest flush
                assert (row.final, row.final_from) == (None, None)
                continue
            assert (row.id, row.final_from) == (before.id, before.final_from)
            assert row.final is None or row.final == pytest.approx(before.final, rel=1e-12)
