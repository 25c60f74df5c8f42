"""Studies and trials as they are sent."""

import math
from collections.abc import Mapping, Sequence
from statistics import fmean, stdev
from typing import Any

from service.analysis.t_distribution import t_quantile
from service.db.access.principal import Principal
from service.db.session import Connection
from service.db.studies import studies, trials
from service.db.studies.studies import StoredStudy
from service.db.studies.trials import Cost, StoredTrial
from service.errors import Problem
from service.schemas.problems import ProblemItem
from service.schemas.studies.answers import BestView, BudgetView, StudyItem, StudyView, TrialsPage, TrialView, UseView
from service.spec.studies.study import Study
from service.studies import budget
from service.studies.confirmation import read_study_confirmation
from service.studies.patch import patch_of
from service.studies.ranking import finished_best_first
from service.studies.stored import study_of

NOTHING = Cost(0, 0.0, over=True)


def study_items(connection: Connection, found: Sequence[StoredStudy]) -> list[StudyItem]:
    """Return studies as a list shows them."""
    counts = trials.counts(connection, [each.id for each in found])
    return [StudyItem.of(each, trials=counts[each.id]) for each in found]


def read_study(connection: Connection, principal: Principal, study_id: str) -> StudyView:
    """Return a study with its budget, its best trial and its confirmation; raise `NotFound`."""
    return study_view(connection, principal, studies.get(connection, principal, study_id))


def study_view(
    connection: Connection, principal: Principal, stored: StoredStudy, warnings: Sequence[Problem] = ()
) -> StudyView:
    """Return a stored study as it is sent."""
    study, found = study_of(stored), trials.all_of(connection, stored.id)
    costs = trials.costs(connection, stored.id)
    counts: dict[str, int] = {}
    for trial in found:
        counts[trial.state] = counts.get(trial.state, 0) + 1
    return StudyView.of(
        stored,
        trials=counts,
        series=study.objective.series,
        direction=study.objective.direction,
        budget=_budget_view(study, found, costs),
        best=_best(study, found),
        confirmation=read_study_confirmation(connection, principal, stored, study, found),
        warnings=[ProblemItem(**problem.as_json()) for problem in warnings],
    )


def _budget_view(study: Study, found: Sequence[StoredTrial], costs: Mapping[int, Cost]) -> BudgetView:
    seeds, limits = len(study.seeds or (0,)), study.budget
    use = budget.used(found, costs, seeds)
    pruned = [trial for trial in found if trial.state == "pruned"]
    planned = sum(seeds * trial.total_steps for trial in pruned)
    return BudgetView(
        trials=UseView(used=use.trials, limit=limits.trials),
        steps=UseView(used=use.steps, limit=limits.steps),
        device_seconds=UseView(used=round(use.device_s, 3), limit=limits.device_seconds),
        saved_steps=planned - sum(costs.get(trial.number, NOTHING).steps for trial in pruned),
    )


def _best(study: Study, found: Sequence[StoredTrial]) -> BestView | None:
    ranked = finished_best_first(study, found)
    if not ranked or ranked[0].value is None:
        return None
    trial = ranked[0]
    return BestView(
        number=trial.number,
        experiment_id=trial.experiment_id,
        point=trial.point,
        value=ranked[0].value,
        interval=interval([value for value in trial.seed_values if value is not None]),
        patch=patch_of(study.base, trial.point),
    )


def interval(values: Sequence[float]) -> tuple[float, float] | None:
    """Return Student's 95 % interval of the mean; None for fewer than two values."""
    if len(values) < 2:
        return None
    half = t_quantile(0.975, len(values) - 1) * stdev(values) / math.sqrt(len(values))
    return fmean(values) - half, fmean(values) + half


def trials_page(
    connection: Connection, principal: Principal, study_id: str, limit: int, cursor: int | None
) -> TrialsPage:
    """Return the next trials of a study by number."""
    stored = studies.get(connection, principal, study_id)
    found = trials.page(connection, stored.id, limit + 1, cursor)
    costs = trials.costs(connection, stored.id)
    items = [_trial_fields(trial, costs.get(trial.number, NOTHING)) for trial in found[:limit]]
    cursor_after = str(found[limit - 1].number) if len(found) > limit else None
    return TrialsPage.model_validate({"items": items, "next_cursor": cursor_after})  # at once, in half of the time


def trial_view(trial: StoredTrial, cost: Cost) -> TrialView:
    """Return a trial as it is sent."""
    return TrialView.model_validate(_trial_fields(trial, cost))


def _trial_fields(trial: StoredTrial, cost: Cost) -> dict[str, Any]:
    return trial.__dict__ | {"steps": cost.steps, "device_s": round(cost.device_s, 3)}
