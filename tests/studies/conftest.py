"""A study whose trials a test trains by hand, and the calls that an API process makes about each second."""

import uuid
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sqlalchemy import Engine

from service.db.access.principal import Principal
from service.db.metrics.codec import Chunk, pack
from service.db.runs import claims, endings, leases
from service.db.runs.claims import Claim, SavedCheckpoint
from service.db.session import make_engine, transaction
from service.db.studies import studies, trials
from service.db.studies.studies import StoredStudy
from service.db.studies.trials import StoredTrial
from service.experiments.context import Context
from service.lifecycle import State
from service.settings import Settings
from service.studies import commands
from service.studies.advance import advance

STEPS = 90
BASE: dict[str, Any] = {
    "dataset": {"kind": "iris"},
    "model": {"kind": "linear"},
    "loss": {"kind": "cross_entropy"},
    "optimizer": {"kind": "sgd", "lr": 0.1},
    "steps": STEPS,
    "evaluate": {"every_steps": 5},
}
DOCUMENT: dict[str, Any] = {
    "name": "rates",
    "base": BASE,
    "space": {"/optimizer/lr": {"kind": "log_uniform", "low": 1e-3, "high": 1.0}},
    "sampler": "random",
    "budget": {"trials": 4},
    "seeds": [0, 1],
    "parallel": 2,
}
ASHA = {"kind": "asha", "first": 10, "eta": 3}  # rungs at 10 and 30
Value = Callable[[Claim], float]


def curve(first: int, last: int, value: float) -> dict[str, Chunk]:
    """A run whose every value is the same, with an evaluation at each fifth step."""
    steps = np.arange(first, last + 1)
    evaluated = steps[steps % 5 == 0]
    found = {"loss": pack(steps, np.full(len(steps), value)), "lr": pack(steps, np.full(len(steps), 0.1))}
    return found | ({"val/loss": pack(evaluated, np.full(len(evaluated), value))} if len(evaluated) else {})


class Studio:
    """Posts studies, lets them advance as an API process does, and trains their runs."""

    def __init__(self, engine: Engine, settings: Settings, principal: Principal) -> None:
        self.engine, self.settings, self.principal = engine, settings, principal
        self.api = make_engine(settings.database_url, name="api")

    def command(self, verb: str, *values: Any) -> Any:
        """A command of `service.studies.commands`, in a request's transaction."""
        with transaction(self.api, self.principal.project_id) as connection:
            return getattr(commands, verb)(Context(connection, self.principal, self.settings), *values)

    def post(self, **changes: Any) -> str:
        return str(self.command("post_study", DOCUMENT | changes).answer.id)

    def advance(self) -> list[tuple[str, int]]:
        return advance(self.api, self.settings)

    def study(self, study_id: str) -> StoredStudy:
        with transaction(self.engine) as connection:
            return studies.get(connection, self.principal, study_id)

    def trials(self, study_id: str) -> list[StoredTrial]:
        with transaction(self.engine) as connection:
            return trials.all_of(connection, study_id)

    def states(self, study_id: str) -> list[str]:
        return [trial.state for trial in self.trials(study_id)]

    def claim(self) -> Claim | None:
        with transaction(self.engine) as connection:
            return claims.claim(connection, ["cpu"], "w1", uuid.uuid4().hex)

    def train(self, held: Claim, value: float) -> None:
        """Train a claimed run to its pause or its end, as a worker does."""
        last = held.pause_at or held.total_steps
        with transaction(self.engine) as connection:
            saved = SavedCheckpoint(last, f"/nowhere/{held.run_id}/{last}", "0" * 64, 10)
            leases.save_checkpoint(connection, held, saved, curve(held.start_step + 1, last, value))
        with transaction(self.engine) as connection:
            endings.finish(connection, held, State.PAUSED if held.pause_at else State.SUCCEEDED, {})

    def end(self, held: Claim, state: State, failure: dict[str, Any] | None = None) -> None:
        with transaction(self.engine) as connection:
            endings.finish(connection, held, state, {}, failure)

    def train_all(self, value: Value) -> int:
        """Train everything that waits; return how many runs that was."""
        count = 0
        while (held := self.claim()) is not None:
            self.train(held, value(held))
            count += 1
        return count

    def finish(self, study_id: str, value: Value, most: int = 100) -> StoredStudy:
        """Train and advance by turns until the study has ended."""
        for _ in range(most):
            self.advance()
            if self.study(study_id).state != "running":
                return self.study(study_id)
            self.train_all(value)
        raise AssertionError(self.states(study_id))


def by_rate(held: Claim) -> float:
    """The nearer the rate is to 0.1, the better; the seed shifts it."""
    return float(abs(np.log10(held.spec["optimizer"]["lr"] / 0.1))) + 0.01 * held.seed


@pytest.fixture
def studio(engine: Engine, settings: Settings, principal: Principal) -> Any:
    made = Studio(engine, settings, principal)
    yield made
    made.api.dispose()
