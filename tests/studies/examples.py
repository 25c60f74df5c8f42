"""Studies and trials that several tests ask about."""

from collections.abc import Callable, Mapping
from typing import Any

from service.spec.parse.document import validate
from service.spec.studies.study import Study
from service.studies import suggest
from service.studies.trial import Trial, TrialState

RATE = {"kind": "log_uniform", "low": 1e-4, "high": 1.0}
PLAIN = {
    "/optimizer/lr": RATE,
    "/optimizer/weight_decay": {"kind": "uniform", "low": 0.0, "high": 0.1},
    "/model/hidden/0": {"kind": "int", "low": 8, "high": 128, "log": True},
    "/batch_size": {"kind": "choice", "options": [16, 32, "full"]},
}
CONDITIONAL = {
    "/optimizer": {
        "kind": "choice",
        "options": [
            {
                "value": "sgd",
                "space": {"/optimizer/lr": RATE, "/optimizer/momentum": {"kind": "uniform", "low": 0, "high": 0.99}},
            },
            {"value": {"kind": "adam"}, "space": {"/optimizer/lr": RATE | {"high": 0.1}}},
        ],
    },
    "/model/hidden/0": {"kind": "int", "low": 8, "high": 128},
    "/clip/norm": {"kind": "fixed", "value": 1.0},
}
DUEL = CONDITIONAL | {"/optimizer": CONDITIONAL["/optimizer"] | {"role": "scientific"}}
SPACES = {"plain": PLAIN, "conditional": CONDITIONAL, "duel": DUEL}


def make_study(space: Mapping[str, Any] = PLAIN, **others: Any) -> Study:
    """Return a study; what is not given does not matter."""
    document = {"base": {"preset": "digits-adam"}, "space": space, "budget": {"trials": 1000}, "seeds": [0]}
    return validate(Study, document | others)


def run_study(study: Study, trials: int, value: Callable[[Mapping[str, Any]], float | None]) -> list[Trial]:
    """Return the trials of a study in which each is finished before the next one is asked."""
    done: list[Trial] = []
    for number in range(trials):
        point = suggest.ask(study, done, number)
        if point is None:
            break
        done.append(Trial(number, point, TrialState.FINISHED, value=value(point)))
    return done
