"""What a project's runs on the same data say of a posted learning rate: where those like it diverged."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from service.db.access.principal import Principal
from service.db.experiments import experiments
from service.db.runs import runs
from service.db.session import Connection
from service.errors import Problem
from service.lifecycle import State
from service.spec.experiment import Experiment

LOOKED_AT = 100  # newest experiments with the same dataset and loss
LEAST = 2  # runs that diverged: one alone may have been unlucky
BATCH = 4  # times larger or smaller, at most


class Tried(NamedTuple):
    """A run of the same model, optimizer and about the same batch."""

    rate: float
    diverged: bool


def rate_warnings(connection: Connection, principal: Principal, spec: Experiment) -> list[Problem]:
    """Return a warning if runs of this model on these data diverged at this optimizer's rate or below it."""
    document = spec.normalised()
    alike = [
        each
        for each in experiments.on_the_same_data(connection, principal, "", document, LOOKED_AT)
        if _comparable(document, each.spec)
    ]
    rates = {each.id: float(each.spec["optimizer"]["lr"]) for each in alike}
    ended = runs.of_experiments(connection, list(rates))
    tried = [
        Tried(rates[run.experiment_id], run.state is State.FAILED)
        for run in ended
        if run.state is State.SUCCEEDED or (run.failure or {}).get("code") == "diverged"
    ]
    return [*judge_rate(spec.optimizer.kind, spec.optimizer.lr, tried)]


def _comparable(document: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether it has the same model, kind of optimizer and clipping, and a batch within a factor of four."""
    if document["model"] != other["model"] or document["clip"] != other["clip"]:
        return False
    own, theirs = document["batch_size"], other["batch_size"]
    sizes = own == theirs or (
        isinstance(own, int) and isinstance(theirs, int) and own <= BATCH * theirs <= BATCH**2 * own
    )
    return sizes and document["optimizer"]["kind"] == other["optimizer"]["kind"]


def judge_rate(kind: str, rate: float, tried: Iterable[Tried]) -> Iterator[Problem]:
    """Yield a warning where two runs or more diverged at this rate or below, and none trained at as high a one."""
    known = list(tried)
    diverged = [each.rate for each in known if each.diverged and each.rate <= rate]
    trained = max((each.rate for each in known if not each.diverged), default=0.0)
    if len(diverged) < LEAST or trained >= min(diverged):
        return
    best = f"; the highest rate at which one trained is {trained:g}" if trained else ""
    yield Problem(
        "/optimizer/lr",
        "rate_diverged_before",
        f"{len(diverged)} runs of this model on these data with {kind} diverged at rates from {min(diverged):g} on"
        f"{best}.",
    )
