"""What tests of turns do: submit, claim, end, and let time pass."""

import uuid
from collections.abc import Callable

from sqlalchemy import Engine, text

from service.db.access.principal import Principal
from service.db.experiments import experiments
from service.db.runs import claims, endings
from service.db.runs.claims import Claim
from service.db.session import transaction
from service.lifecycle import State
from service.spec.experiment import Experiment

SPEC = Experiment.model_validate_json(
    """{"dataset": {"kind": "iris"}, "model": {"kind": "linear"}, "loss": {"kind": "cross_entropy"},
    "optimizer": {"kind": "sgd"}, "steps": 1000, "seeds": [0]}"""
)
Enter = Callable[[str, str], Principal]
PASS = (
    "UPDATE attempt SET started_at = started_at - make_interval(secs => :s) WHERE ended_at IS NULL",
    "UPDATE device_use SET at = at - make_interval(secs => :s)",
    """UPDATE run SET queued_at = queued_at - make_interval(secs => :s), rank_at = rank_at - make_interval(secs => :s)
    WHERE state = 'queued'""",
)


def submit(engine: Engine, by: Principal, seeds: int = 1, priority: int = 0) -> list[str]:
    spec = SPEC.model_copy(update={"seeds": tuple(range(seeds)), "priority": priority})
    with transaction(engine) as connection:
        return [run.id for run in experiments.add(connection, by, spec, "cpu").runs]


def take(engine: Engine, worker: str = "w1") -> Claim:
    with transaction(engine) as connection:
        held = claims.claim(connection, ["cpu"], worker, uuid.uuid4().hex)
    assert held is not None
    return held


def finish(engine: Engine, held: Claim, after_s: float = 0.0) -> None:
    pass_time(engine, after_s)
    with transaction(engine) as connection:
        endings.finish(connection, held, State.SUCCEEDED, {})


def pass_time(engine: Engine, seconds: float) -> None:
    """As if that much later."""
    with transaction(engine) as connection:
        for statement in PASS:
            connection.execute(text(statement), {"s": seconds})
