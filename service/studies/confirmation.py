"""Confirming a study: its best trials are trained again with seeds that no trial used, and judged by these alone.

The study makes a stored comparison of them, whose confirmation does this. What the search alone would have claimed is
told beside it: the best of many values, on the seeds that chose it, flatters.
"""

from collections.abc import Sequence

from service.comparison.confirmation import read_confirmation, start_confirmation
from service.db.access import audit
from service.db.access.principal import Principal
from service.db.experiments import comparisons
from service.db.session import Connection
from service.db.studies import studies, trials
from service.db.studies.studies import StoredStudy
from service.db.studies.trials import StoredTrial
from service.errors import Conflict, NotFound
from service.experiments.context import Context
from service.nonfinite import dumps
from service.schemas.comparisons import Question
from service.schemas.confirmations import ConfirmationView, ConfirmRequest
from service.schemas.studies.answers import FreshResult, SearchClaim, StudyConfirmation
from service.schemas.studies.requests import ConfirmStudyRequest
from service.spec.measures import better_direction
from service.spec.studies.study import Study
from service.studies.ranking import finished_best_first
from service.studies.stored import study_of


def confirm_study(context: Context, study_id: str, request: ConfirmStudyRequest) -> list[tuple[str, int]]:
    """Queue the best trials' fresh runs; return (pool, runs) for each, nothing where they were queued before."""
    connection, principal = context.connection, context.principal
    stored = studies.get(connection, principal, study_id, lock=True)
    study = study_of(stored)
    if stored.comparison_id is None:
        _check(stored, study)
        comparison_id = _compare(connection, principal, stored, study, request.contestants)
        studies.set_comparison(connection, stored.id, comparison_id)
    else:
        comparison_id = stored.comparison_id
    question = _question(connection, principal, comparison_id)
    queued = start_confirmation(context, comparison_id, question, ConfirmRequest(seeds=request.seeds))
    if queued:
        audit.record(connection, principal, "study.confirm", stored.id, comparison=comparison_id)
    return queued


def _check(stored: StoredStudy, study: Study) -> None:
    if stored.state in ("running", "paused"):
        raise Conflict(
            f"The study is {stored.state}: its best trial may still change. Confirm it once it has ended, or stop it."
        )
    if study.objective.direction != better_direction(study.objective.series):
        raise Conflict(
            f"The study takes {study.objective.series} the other way round than comparisons do: it cannot be confirmed."
        )


def _compare(connection: Connection, principal: Principal, stored: StoredStudy, study: Study, contestants: int) -> str:
    """Store the comparison of the best trials that are still there, best first; return its id."""
    shown = trials.page(connection, stored.id, 1_000_000, None)
    chosen = [trial for trial in finished_best_first(study, shown) if trial.experiment_id is not None][:contestants]
    if len(chosen) < 2:
        raise Conflict(
            f"{len(chosen)} trials have finished with a value, and a confirmation compares two: extend the study."
        )
    question = Question(
        experiments=tuple(str(trial.experiment_id) for trial in chosen),
        series=(study.objective.series,),
        figure=study.objective.figure,
        points=None,
    )
    return comparisons.add(connection, principal, question.model_dump(mode="json"))


def _question(connection: Connection, principal: Principal, comparison_id: str) -> Question:
    stored = comparisons.get(connection, principal, comparison_id)
    return Question.model_validate_json(dumps(stored.question))


def read_study_confirmation(
    connection: Connection, principal: Principal, stored: StoredStudy, study: Study, found: Sequence[StoredTrial]
) -> StudyConfirmation | None:
    """Return the claim of the search beside what fresh seeds say so far; None where nobody has asked."""
    if stored.comparison_id is None:
        return None
    try:
        question = _question(connection, principal, stored.comparison_id)
        confirmation = read_confirmation(connection, principal, stored.comparison_id, question)
    except NotFound:  # an experiment lies in the bin, or in another project
        return None
    if confirmation is None:
        return None
    numbers = {trial.experiment_id: trial.number for trial in found}
    claim = _claim(study, found, [each.trial_id for each in confirmation.contestants])
    fresh = _fresh(confirmation, numbers)
    return StudyConfirmation(
        comparison_id=stored.comparison_id,
        state=confirmation.state,
        claim=claim,
        fresh=fresh,
        report=_report(study, claim, fresh, confirmation),
        confirmation=confirmation,
    )


def _claim(study: Study, found: Sequence[StoredTrial], chosen: Sequence[str]) -> SearchClaim:
    known = {trial.experiment_id: trial.value for trial in found}
    best, runner_up = (known[experiment_id] for experiment_id in (chosen[0], chosen[min(1, len(chosen) - 1)]))
    assert best is not None
    assert runner_up is not None
    tried = sum(trial.value is not None for trial in found)
    difference = best - runner_up
    seeds = list(study.seeds or ())
    return SearchClaim(best=best, runner_up=runner_up, difference=difference, seeds=seeds, trials=tried)


def _fresh(confirmation: ConfirmationView, numbers: dict[str | None, int]) -> list[FreshResult]:
    ranked = {item.experiment_id: item.best for item in confirmation.ranking.items}
    results = []
    for each in confirmation.contestants:
        best = ranked.get(each.experiment_id)
        low, high = (best.ci_low, best.ci_high) if best else (None, None)
        results.append(
            FreshResult(
                number=numbers[each.trial_id],
                experiment_id=each.experiment_id,
                n=best.n if best else 0,
                mean=best.mean if best else None,
                interval=None if low is None or high is None else (low, high),
            )
        )
    return results


def _report(study: Study, claim: SearchClaim, fresh: Sequence[FreshResult], confirmation: ConfirmationView) -> str:
    seeds = f"{len(claim.seeds)} seed{'s' * (len(claim.seeds) != 1)}"
    told = f"The search alone would claim {study.objective.series} {claim.best:.4g}: best of {claim.trials}, {seeds}."
    first = fresh[0]
    if first.mean is None:
        return f"{told} {confirmation.note}"
    found = f"On {first.n} fresh seeds it is {first.mean:.4g}"
    if first.interval is not None:
        found += f" (95 %: {first.interval[0]:.4g} to {first.interval[1]:.4g})"
    return f"{told} {found}. {confirmation.note}"
