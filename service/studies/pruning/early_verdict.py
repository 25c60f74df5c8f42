"""The early verdict: a trial is stopped once it has little chance left of becoming the best."""

import math
from itertools import islice

from service.analysis.extrapolation import chance_to_reach
from service.spec.studies.pruners import EarlyVerdict
from service.studies.pruning.candidates import Candidates, Decision, text
from service.studies.trial import Trial


def decide(candidates: Candidates) -> dict[int, Decision]:
    """Stop a trial whose extrapolated curve reaches the best finished trial with less than the stated chance."""
    pruner = candidates.study.pruner
    assert isinstance(pruner, EarlyVerdict)
    finals = [candidates.loss(trial.value) for trial in candidates.finished]
    if len(finals) < pruner.startup:
        why = f"{len(finals)} of the {pruner.startup} trials that must finish first are finished"
        return {trial.number: Decision("continue", why) for trial in candidates.waiting}
    return {trial.number: _judge(candidates, pruner, trial, min(finals)) for trial in candidates.waiting}


def _judge(candidates: Candidates, pruner: EarlyVerdict, trial: Trial, best: float) -> Decision:
    if not math.isfinite(best):
        return Decision("continue", "no finished trial has a value")
    shares = list(islice(pruner.shares(1), len(trial.rungs)))
    curve = [
        (share, loss)
        for rung, (share, loss) in enumerate(zip(shares, candidates.losses(trial), strict=True))
        if candidates.measured(rung)
    ]
    if len(curve) < 2:
        return Decision("continue", "a curve of fewer than two values is not extrapolated")
    chance = chance_to_reach([share for share, _ in curve], [loss for _, loss in curve], best)
    told = f"a chance of {chance:.1%} of ending below the best, {text(candidates.study.objective.sign * best)}"
    if candidates.study.objective.sign < 0:
        told = told.replace("below", "above")
    return Decision("stop" if chance < pruner.chance else "continue", told)
