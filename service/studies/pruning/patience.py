"""Patience: each trial by itself."""

from service.spec.studies.pruners import PatiencePruner
from service.studies.pruning.candidates import Candidates, Decision


def decide(candidates: Candidates) -> dict[int, Decision]:
    """Stop a trial without a new best value at its last rungs; rungs before the first evaluation do not count."""
    pruner = candidates.study.pruner
    assert isinstance(pruner, PatiencePruner)
    decisions = {}
    for trial in candidates.waiting:
        losses = [loss for rung, loss in enumerate(candidates.losses(trial)) if candidates.measured(rung)]
        before, last = losses[: -pruner.rungs], losses[-pruner.rungs :]
        stuck = bool(before) and min(last) >= min(before) - pruner.min_delta
        why = f"no new best value at the last {pruner.rungs} rungs" if stuck else "it improves"
        decisions[trial.number] = Decision("stop" if stuck else "continue", why)
    return decisions
