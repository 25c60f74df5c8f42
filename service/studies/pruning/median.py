"""The median rule (Golovin et al. 2017, section 3.2.2), as Optuna's MedianPruner applies it."""

import statistics

from service.spec.studies.pruners import Median
from service.studies.pruning.candidates import Candidates, Decision, text
from service.studies.trial import Trial


def decide(candidates: Candidates) -> dict[int, Decision]:
    """Stop a trial whose best value so far is worse than the median of the finished trials at its rung."""
    pruner = candidates.study.pruner
    assert isinstance(pruner, Median)
    if len(finished := candidates.finished) < pruner.startup:
        why = f"{len(finished)} of the {pruner.startup} trials that must finish first are finished"
        return {trial.number: Decision("continue", why) for trial in candidates.waiting}
    return {trial.number: _judge(candidates, trial) for trial in candidates.waiting}


def _judge(candidates: Candidates, trial: Trial) -> Decision:
    rung = len(trial.rungs) - 1
    others = [loss for each in candidates.finished if (loss := candidates.loss_at(each, rung)) is not None]
    if not candidates.measured(rung) or not others:
        return Decision("continue", "nothing is measured at this rung")
    best, middle = min(candidates.losses(trial)), statistics.median(others)
    sign = candidates.study.objective.sign
    told = f"best {text(sign * best)}, the median of {len(others)} finished trials is {text(sign * middle)}"
    return Decision("stop" if best > middle else "continue", told)
