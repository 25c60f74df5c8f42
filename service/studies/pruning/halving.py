"""Successive halving without synchronisation, and Hyperband: several of them that start at different rungs.

The form with promotions (Li et al. 2020, algorithm 2): a trial waits at its rung until it is among the best 1/eta of
all that reached it, so that a bad trial never goes on because it came early. Once no further trial can come to a rung,
the best of it goes on, at least one, and the others stop.
"""

import math
from itertools import takewhile

from service.spec.studies.pruners import GeometricRungs, Hyperband
from service.studies.pruning.candidates import Candidates, Decision
from service.studies.trial import Trial, TrialState

GOLDEN = (math.sqrt(5) - 1) / 2  # its multiples are spread evenly over the unit interval


def decide_asha(candidates: Candidates, free: int = 0) -> dict[int, Decision]:
    """Promote the best 1/eta of each rung; at the first `free` rungs all go on."""
    pruner = candidates.study.pruner
    assert isinstance(pruner, GeometricRungs)
    decisions: dict[int, Decision] = {}
    coming = not candidates.exhausted or _heading_for(candidates, 0)
    for rung in range(max((len(trial.rungs) for trial in candidates.trials), default=0)):
        waiting = [trial for trial in candidates.waiting if len(trial.rungs) == rung + 1]
        if rung < free or not candidates.measured(rung):
            why = "its bracket starts later" if rung < free else "nothing is measured at this rung"
            here = {trial.number: Decision("continue", why) for trial in waiting}
        else:
            here = _at_rung(candidates, rung, waiting, pruner.eta, coming)
        decisions |= here
        promoted = any(decision.verdict == "continue" for decision in here.values())
        coming = coming or promoted or _heading_for(candidates, rung + 1)
    return decisions


def _heading_for(candidates: Candidates, rung: int) -> bool:
    """Return whether a trial in training will reach `rung` next."""
    return any(trial.state == TrialState.RUNNING and len(trial.rungs) == rung for trial in candidates.trials)


def _at_rung(candidates: Candidates, rung: int, waiting: list[Trial], eta: int, coming: bool) -> dict[int, Decision]:
    found = [(candidates.loss_at(trial, rung), trial.number) for trial in candidates.trials]
    ranked = sorted((loss, number) for loss, number in found if loss is not None)
    places = {number: place for place, (_, number) in enumerate(ranked, 1)}
    most = len(ranked) // eta if coming else max(1, len(ranked) // eta)
    decisions = {}
    for trial in waiting:
        told = f"place {places[trial.number]} of {len(ranked)} at this rung, of which {most} go on"
        if places[trial.number] <= most and math.isfinite(candidates.losses(trial)[rung]):
            decisions[trial.number] = Decision("continue", told)
        else:
            decisions[trial.number] = Decision("wait" if coming else "stop", told)
    return decisions


def decide_hyperband(candidates: Candidates) -> dict[int, Decision]:
    """Decide in each bracket by itself; bracket b starts to stop trials at rung b, and the last one stops none."""
    decisions: dict[int, Decision] = {}
    brackets = brackets_of(candidates)
    for bracket in sorted(set(brackets.values())):
        own = tuple(trial for trial in candidates.trials if brackets[trial.number] == bracket)
        decisions |= decide_asha(Candidates(candidates.study, own, candidates.exhausted), free=bracket)
    return decisions


def brackets_of(candidates: Candidates) -> dict[int, int]:
    """Return the bracket of each trial, by its place among the trials, in the proportions of Hyperband's budgets.

    With s = rungs - b, bracket b is given ceil((rungs + 1) / (s + 1) eta^s) trials (Li et al. 2018, algorithm 1).
    """
    pruner = candidates.study.pruner
    assert isinstance(pruner, Hyperband)
    rungs = sum(1 for _ in takewhile(lambda share: share < 1, pruner.shares(1)))
    sizes = [math.ceil((rungs + 1) / (s + 1) * pruner.eta**s) for s in range(rungs, -1, -1)]
    bounds = [sum(sizes[: at + 1]) / sum(sizes) for at in range(len(sizes))]
    shares = {trial.number: (place * GOLDEN) % 1 for place, trial in enumerate(candidates.trials)}
    return {
        number: next((at for at, bound in enumerate(bounds) if share < bound), rungs)
        for number, share in shares.items()
    }
