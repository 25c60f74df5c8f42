"""At the rungs: which waiting trials go on, which stop, and which wait for others.

Every pruner works the same way: a trial pauses by itself at a rung, and is told here what becomes of it. Trials of
different scientific values are never judged against each other: each value gets the same chance to be tuned.
"""

from collections.abc import Callable, Sequence

from service.spec.studies.pruners import Asha, EarlyVerdict, Hyperband, Median, NoPruner, PatiencePruner, PrunerBase
from service.spec.studies.space import combinations
from service.spec.studies.study import Study
from service.studies.pruning import early_verdict, halving, median, patience
from service.studies.pruning.candidates import Candidates, Decision
from service.studies.suggest.ask import has
from service.studies.trial import Trial, TrialState

__all__ = ["Decision", "decide", "rung_steps"]

RULES: dict[type[PrunerBase], Callable[[Candidates], dict[int, Decision]]] = {
    NoPruner: lambda candidates: {
        each.number: Decision("continue", "there is no pruner") for each in candidates.waiting
    },
    Median: median.decide,
    PatiencePruner: patience.decide,
    Asha: halving.decide_asha,
    Hyperband: halving.decide_hyperband,
    EarlyVerdict: early_verdict.decide,
}


def rung_steps(study: Study, total_steps: int) -> tuple[int, ...]:
    """Return the steps at which a trial of `total_steps` steps waits, rising; none is its last step."""
    return study.pruner.rung_steps(total_steps)


def decide(study: Study, trials: Sequence[Trial], exhausted: bool | None = None) -> dict[int, Decision]:
    """Return what becomes of each waiting trial, by number.

    `exhausted`: no further trial will be asked, so that nothing waits for one; None: as the budget of trials says.
    """
    if exhausted is None:
        asked = sum(trial.state != TrialState.FAILED for trial in trials)
        exhausted = study.budget.trials is not None and asked >= study.budget.trials
    decisions: dict[int, Decision] = {}
    for combination in combinations(study.space):
        own = sorted((trial for trial in trials if has(trial, combination)), key=lambda trial: trial.number)
        decisions |= RULES[type(study.pruner)](Candidates(study, tuple(own), exhausted))
    return decisions
