"""What tuning a group cost, and what was tuned."""

import math
from collections.abc import Mapping, Sequence

from service.analysis.spec_difference import MISSING, difference
from service.analysis.tuning import at_border, expected_best, sensitivity
from service.comparison.data import ComparisonData
from service.comparison.ranking import Contestant
from service.comparison.selection import RunGroup, Trial, value_at
from service.db.metrics import read
from service.db.session import Connection
from service.schemas.rankings import EffortView, SensitivityView
from service.spec.measures import better_direction

MAX_SHOWN_VALUES = 50  # values of a tuned field


def tuning_costs(connection: Connection, data: ComparisonData, chosen: Sequence[Contestant]) -> list[EffortView]:
    """Return each group's cost. The loss before training is read only where rates were tuned, for the sensitivity."""
    tuning = [group for group in data.groups if len(set(_rates(group).values())) > 2]
    ids = [run.id for group in tuning for run in group.runs]
    before = read.first_values(connection, ids, "loss") if ids else {}
    return [_effort(data, each, before) for each in chosen]


def _effort(data: ComparisonData, chosen: Contestant, before: Mapping[str, float]) -> EffortView:
    group = chosen.group
    values = {trial.experiment.id: _value(data, trial) for trial in group.trials}
    tuned = difference([trial.spec for trial in group.trials]) if len(group.trials) > 1 else {}
    best = [trial.experiment.id for trial in group.trials].index(chosen.trial.experiment.id)
    conditions = [data.conditions[run.id] for run in group.runs if run.id in data.conditions]
    return EffortView(
        trials=len(group.trials),
        runs=len(group.runs),
        steps=sum(run.step for run in group.runs),
        device_s=sum(each.device_s for each in conditions),
        tuned={
            pointer: list(dict.fromkeys(value for value in row.values if isinstance(value, int | float | str)))[
                :MAX_SHOWN_VALUES
            ]
            for pointer, row in tuned.items()
        },
        border=[pointer for pointer, row in tuned.items() if _at_border(row.values, best)],
        expected_best=expected_best(list(values.values()), better_direction(data.ranked)) if len(values) > 1 else [],
        sensitivity=_sensitivity(data, group, values, before),
    )


def _value(data: ComparisonData, trial: Trial) -> float:
    """Return the mean over finite seeds; NaN where there are none."""
    found = [data.value(run, data.ranked, data.figure) for run in trial.runs]
    finite = [value for value in found if value is not None and math.isfinite(value)]
    return sum(finite) / len(finite) if finite else math.nan


def _at_border(values: Sequence[object], best: int) -> bool:
    numbers = [v for v in values if v is not MISSING and isinstance(v, int | float) and not isinstance(v, bool)]
    chosen = values[best]
    return isinstance(chosen, int | float) and len(numbers) == len(values) and at_border(numbers, chosen)


def _rates(group: RunGroup) -> dict[str, float]:
    """Return the learning rate of each trial that has one above 0."""
    found = {trial.experiment.id: value_at(trial.experiment.spec, "optimizer.lr") for trial in group.trials}
    return {trial: float(rate) for trial, rate in found.items() if isinstance(rate, int | float) and rate > 0}


def _sensitivity(
    data: ComparisonData, group: RunGroup, values: Mapping[str, float], before: Mapping[str, float]
) -> SensitivityView | None:
    rates = _rates(group)
    starts = [before[run.id] for run in group.runs if math.isfinite(before.get(run.id, math.nan))]
    if better_direction(data.ranked) == "max" or not starts:
        return None
    found = sensitivity(list(rates.values()), [values[trial] for trial in rates], sum(starts) / len(starts))
    return None if found is None else SensitivityView(**found.__dict__)
