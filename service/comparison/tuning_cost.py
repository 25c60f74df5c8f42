"""What a group cost, and what was tuned in it."""

import math
from collections.abc import Mapping, Sequence

from service.analysis.difference import MISSING, difference
from service.analysis.tuning import at_border, expected_best, sensitivity
from service.comparison.evidence import Evidence
from service.comparison.ranking import Contestant
from service.comparison.selection import Member, Trial, value_at
from service.db.metrics import read
from service.db.session import Connection
from service.schemas.rankings import EffortView, SensitivityView
from service.spec.measures import better_direction

SHOWN = 50  # values of a tuned field


def efforts(connection: Connection, evidence: Evidence, chosen: Sequence[Contestant]) -> list[EffortView]:
    """One a group. Sensitivity needs the loss before training, which is read for those that tuned the rate."""
    tuning = [member for member in evidence.members if len(set(_rates(member).values())) > 2]
    ids = [run.id for member in tuning for run in member.runs]
    before = read.first_values(connection, ids, "loss") if ids else {}
    return [_effort(evidence, each, before) for each in chosen]


def _effort(evidence: Evidence, chosen: Contestant, before: Mapping[str, float]) -> EffortView:
    member = chosen.member
    values = {trial.experiment.id: _value(evidence, trial) for trial in member.trials}
    tuned = difference([trial.spec for trial in member.trials]) if len(member.trials) > 1 else {}
    best = [trial.experiment.id for trial in member.trials].index(chosen.trial.experiment.id)
    conditions = [evidence.conditions[run.id] for run in member.runs if run.id in evidence.conditions]
    return EffortView(
        trials=len(member.trials),
        runs=len(member.runs),
        steps=sum(run.step for run in member.runs),
        device_s=sum(each.device_s for each in conditions),
        tuned={
            pointer: list(dict.fromkeys(value for value in row.values if isinstance(value, int | float | str)))[:SHOWN]
            for pointer, row in tuned.items()
        },
        border=[pointer for pointer, row in tuned.items() if _at_border(row.values, best)],
        expected_best=expected_best(list(values.values()), better_direction(evidence.ranked))
        if len(values) > 1
        else [],
        sensitivity=_sensitivity(evidence, member, values, before),
    )


def _value(evidence: Evidence, trial: Trial) -> float:
    """The mean over finite seeds; NaN where all diverged or none has a value."""
    found = [evidence.value(run, evidence.ranked, evidence.figure) for run in trial.runs]
    finite = [value for value in found if value is not None and math.isfinite(value)]
    return sum(finite) / len(finite) if finite else math.nan


def _at_border(values: Sequence[object], best: int) -> bool:
    numbers = [v for v in values if v is not MISSING and isinstance(v, int | float) and not isinstance(v, bool)]
    chosen = values[best]
    return isinstance(chosen, int | float) and len(numbers) == len(values) and at_border(numbers, chosen)


def _rates(member: Member) -> dict[str, float]:
    """The rate of each trial that has one."""
    found = {trial.experiment.id: value_at(trial.experiment.spec, "optimizer.lr") for trial in member.trials}
    return {trial: float(rate) for trial, rate in found.items() if isinstance(rate, int | float)}


def _sensitivity(
    evidence: Evidence, member: Member, values: Mapping[str, float], before: Mapping[str, float]
) -> SensitivityView | None:
    rates = _rates(member)
    starts = [before[run.id] for run in member.runs if math.isfinite(before.get(run.id, math.nan))]
    if better_direction(evidence.ranked) == "max" or not starts:
        return None
    found = sensitivity(list(rates.values()), [values[trial] for trial in rates], sum(starts) / len(starts))
    return None if found is None else SensitivityView(**found.__dict__)
