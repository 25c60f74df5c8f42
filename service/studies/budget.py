"""What a study has used of its budget, what its open trials will take to their next pause, and what still fits.

The steps of a trial are known beforehand. So nothing is begun that could exceed the budget of steps: a trial is asked,
or continued, only if everything that trains can come to its next rung and this one, too. Seconds are known afterwards
alone: what trains when they are used up is stopped.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from service.db.studies.trials import Cost, StoredTrial
from service.spec.studies.study import Budget


@dataclass(frozen=True)
class BudgetUse:
    """What is used, over all seeds of all trials."""

    trials: int  # points that were given out; a point that is given out again is still one
    steps: int
    device_s: float
    committed: int = 0  # steps that the trials in training take until their next pause


def used(trials: Sequence[StoredTrial], costs: Mapping[int, Cost], seeds: int) -> BudgetUse:
    """Return what the trials used; `costs` by number."""
    committed = 0
    for trial in trials:
        if trial.state == "running":
            spent = costs[trial.number].steps if trial.number in costs else 0
            committed += max(0, seeds * next_pause(trial) - spent)
    return BudgetUse(
        trials=sum(trial.repeats is None for trial in trials),
        steps=sum(cost.steps for cost in costs.values()),
        device_s=sum(cost.device_s for cost in costs.values()),
        committed=committed,
    )


def next_pause(trial: StoredTrial) -> int:
    """Return the step where a trial in training pauses next, or ends."""
    return trial.rung_steps[len(trial.rungs)] if len(trial.rungs) < len(trial.rung_steps) else trial.total_steps


def steps_to_next(trial: StoredTrial, seeds: int) -> int:
    """Return the steps that a waiting trial takes from its rung to the next one, over all seeds."""
    return seeds * (next_pause(trial) - trial.rung_steps[len(trial.rungs) - 1])


def fits(budget: Budget, use: BudgetUse, steps: int) -> bool:
    """Return whether so many more steps can be begun."""
    return budget.steps is None or use.steps + use.committed + steps <= budget.steps


def spent(budget: Budget, use: BudgetUse) -> str | None:
    """Return which limit ends everything that still trains; None: none."""
    if budget.device_seconds is not None and use.device_s >= budget.device_seconds:
        return f"the budget of {budget.device_seconds:g} device seconds is used up"
    if budget.steps is not None and use.steps >= budget.steps:
        return f"the budget of {budget.steps} steps is used up"
    return None


def no_more_points(budget: Budget, use: BudgetUse) -> str | None:
    """Return why no new point may be given out, as far as that does not depend on the point; None: it may."""
    if (reason := spent(budget, use)) is not None:
        return reason
    if budget.trials is not None and use.trials >= budget.trials:
        return f"all {budget.trials} trials of the budget were given out"
    return None
