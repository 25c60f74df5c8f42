"""What a project's runs on the same data say of a posted rate: where those like it diverged or learned far less."""

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from service.db.access.principal import Principal
from service.db.experiments import experiments
from service.db.runs import run_data, runs
from service.db.runs.runs import StoredRun
from service.db.session import Connection
from service.errors import Problem
from service.lifecycle import State
from service.spec.experiment import Experiment

LOSSES = ("val/loss", "loss")
LOOKED_AT = 100  # newest experiments with the same dataset and loss
LEAST = 2  # runs that diverged: one alone may have been unlucky
BATCH = 4  # times larger or smaller, at most
NEAR = 3  # times a rate: others within it say what this one would do
FAR_LESS = 0.5  # of what the best of as many updates learned


class Tried(NamedTuple):
    """A run of the same model, optimizer and about the same batch."""

    rate: float
    diverged: bool
    learned: float | None = None  # share of the way to the minimum, in as many updates as posted; None: unknown


def rate_warnings(connection: Connection, principal: Principal, spec: Experiment) -> list[Problem]:
    """Return a warning if runs of this model on these data diverged, or learned far less, at about this rate."""
    document = spec.normalised()
    alike = [
        each
        for each in experiments.on_the_same_data(connection, principal, "", document, LOOKED_AT)
        if _comparable(document, each.spec)
    ]
    rates = {each.id: float(each.spec["optimizer"]["lr"]) for each in alike}
    ended = runs.of_experiments(connection, list(rates))
    untrained, finals = _untrained_loss(spec), dict[str, float]()
    if untrained is not None and rates:
        for siblings, series in run_data.siblings(connection, list(rates)).values():
            finals |= {each.run_id: each.final for each in siblings if series in LOSSES}

    def learned(run: StoredRun) -> float | None:
        final = finals.get(run.id, math.nan) if run.total_steps == spec.total_steps else math.nan
        return None if untrained is None or math.isnan(final) else 1 - final / untrained

    tried = [
        Tried(rates[run.experiment_id], run.state is State.FAILED, learned(run))
        for run in ended
        if run.state is State.SUCCEEDED or (run.failure or {}).get("code") == "diverged"
    ]
    kind, rate = spec.optimizer.kind, spec.optimizer.lr
    return [*judge_rate(kind, rate, tried), *judge_slow(kind, rate, spec.total_steps, tried)]


def _untrained_loss(spec: Experiment) -> float | None:
    """Return the loss of a model that knows nothing, above a minimum of 0; None where the spec does not say."""
    if spec.loss.kind == "cross_entropy" and (spec.dataset.facts.classes or 0) > 1:
        return math.log(spec.dataset.facts.classes or 1)
    if spec.loss.kind == "mse" and getattr(spec.dataset, "target_scaling", "none") == "standardise":
        return 1.0
    return None


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


def judge_slow(kind: str, rate: float, steps: int, tried: Iterable[Tried]) -> Iterator[Problem]:
    """Yield a warning where all runs at about this rate, two or more, learned less than half of what another did."""
    known = [(each.learned, each.rate) for each in tried if not each.diverged and each.learned is not None]
    near = [learned for learned, at in known if rate / NEAR <= at <= rate * NEAR]
    most, best = max(known, default=(0.0, rate))
    if len(near) < LEAST or max(near) >= FAR_LESS * most:
        return
    yield Problem(
        "/optimizer/lr",
        "rate_slow_before",
        f"{len(near)} runs of this model on these data with {kind} at about this rate came at most "
        f"{max(max(near), 0.0):.0%} of the way to the minimum in {steps:,} updates; one at {best:g} came {most:.0%}.",
    )
