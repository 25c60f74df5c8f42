"""Confirming a study: its best trial is trained again with seeds that no trial used, and judged by these alone.

It is held against the best of each other scientific value, the runner-up, or the base, by a stored comparison, whose
confirmation does this. What the search alone would have claimed is told beside it: the best of many flatters.
"""

from collections.abc import Sequence

from service.analysis.power import FRESH_SEEDS
from service.comparison.confirmation import NAME_SUFFIX, read_confirmation, start_confirmation
from service.comparison.extension import unused_seeds
from service.db.access import audit
from service.db.access.principal import Principal
from service.db.experiments import comparisons, confirmations, experiments
from service.db.experiments.confirmations import StoredConfirmation
from service.db.experiments.experiments import NewExperiment
from service.db.session import Connection
from service.db.studies import studies, trials
from service.db.studies.studies import StoredStudy
from service.db.studies.trials import StoredTrial
from service.errors import Conflict, NotFound
from service.experiments.context import Context
from service.experiments.parsed_spec import parsed_spec
from service.experiments.variants import renamed, reseeded
from service.nonfinite import dumps
from service.schemas.comparisons import Question
from service.schemas.confirmations import MAX_CONTESTANTS, ConfirmationView, ConfirmRequest
from service.schemas.studies.answers import FreshResult, SearchClaim, StudyConfirmation
from service.schemas.studies.requests import ConfirmStudyRequest
from service.spec.measures import better_direction
from service.spec.parse.fork import with_suffix
from service.spec.studies.study import Study
from service.studies.duels import judge
from service.studies.ranking import finished_best_first
from service.studies.stored import study_of, trials_of
from service.studies.submission import spec_at


def confirm_study(context: Context, study_id: str, request: ConfirmStudyRequest) -> list[tuple[str, int]]:
    """Queue the fresh runs of the best trial and what it is held against; return (pool, runs) for each.

    Where they were queued before, nothing is; raise `Conflict` if that was another request.
    """
    connection, principal = context.connection, context.principal
    stored = studies.get(connection, principal, study_id, lock=True)
    if stored.comparison_id is None:
        queued = _begin(context, stored, request)
        audit.record(connection, principal, "study.confirm", stored.id)
        return queued
    question = _question(connection, principal, stored.comparison_id)
    return start_confirmation(context, stored.comparison_id, question, ConfirmRequest(seeds=request.seeds))


def _begin(context: Context, stored: StoredStudy, request: ConfirmStudyRequest) -> list[tuple[str, int]]:
    connection, study = context.connection, study_of(stored)
    if stored.state in ("running", "paused"):
        raise Conflict(
            f"The study is {stored.state}: its best trial may still change. Confirm it once it has ended, or stop it."
        )
    if study.objective.direction != better_direction(study.objective.series):
        raise Conflict(
            f"The study takes {study.objective.series} the other way round than comparisons do: it cannot be confirmed."
        )
    shown = trials.page(connection, stored.id, 1_000_000, None)
    ranked = [trial for trial in finished_best_first(study, shown) if trial.experiment_id is not None]
    if not ranked:
        raise Conflict("No trial has finished with a value: extend the study, there is nothing to confirm yet.")
    if request.against == "runner_up" and len(ranked) < 2:
        raise Conflict("Only one trial has finished with a value: hold it against the base, or extend the study.")
    if request.against == "base" or len(ranked) < 2:
        return _against_base(context, stored, study, str(ranked[0].experiment_id), request.seeds)
    chosen = _duellists(study, ranked) if request.against is None else []
    chosen = chosen if len(chosen) > 1 else ranked[:2]
    comparison_id = _compare(context, stored, study, [str(trial.experiment_id) for trial in chosen])
    question = _question(connection, context.principal, comparison_id)
    return start_confirmation(context, comparison_id, question, ConfirmRequest(seeds=request.seeds))


def _duellists(study: Study, ranked: Sequence[StoredTrial]) -> list[StoredTrial]:
    """Return the best trial of each scientific value, best first; a single one where the study compares nothing."""
    best = {contestant.best.number for contestant in judge(study, trials_of(ranked)) if contestant.best is not None}
    return [trial for trial in ranked if trial.number in best][:MAX_CONTESTANTS]


def _compare(context: Context, stored: StoredStudy, study: Study, experiment_ids: Sequence[str]) -> str:
    """Store the comparison of these experiments as the study's; return its id."""
    objective = study.objective
    question = Question(
        experiments=tuple(experiment_ids), series=(objective.series,), figure=objective.figure, points=None
    )
    made = comparisons.add(context.connection, context.principal, question.model_dump(mode="json"))
    studies.set_comparison(context.connection, stored.id, made)
    return made


def _against_base(
    context: Context, stored: StoredStudy, study: Study, best_id: str, count: int | None
) -> list[tuple[str, int]]:
    """Train the best trial and the base from fresh seeds; the search itself never tried the base."""
    best = experiments.get(context.connection, context.principal, best_id)
    best_spec, base = parsed_spec(best), spec_at(context, study, {})
    folds = max(best_spec.folds, base.folds)
    seeds = unused_seeds(set(study.seeds or ()), -(-(count or FRESH_SEEDS[0]) // folds) * folds)
    specs = [
        renamed(reseeded(best_spec, seeds), NAME_SUFFIX),
        base.model_copy(update={"name": with_suffix(stored.name, " base"), "seeds": seeds}),
    ]
    for spec in specs:
        context.check_disk(spec)
    pools = [spec.pool or context.settings.pool for spec in specs]
    made = context.add_many([NewExperiment(spec, pool) for spec, pool in zip(specs, pools, strict=True)])
    comparison_id = _compare(context, stored, study, [best.id, made[1].id])
    tried = _tried(trials.all_of(context.connection, stored.id))
    contestants = [
        StoredConfirmation(best.name, best.id, tried, made[0].id),
        StoredConfirmation(specs[1].name, made[1].id, 1, made[1].id),  # it was not chosen among anything
    ]
    confirmations.add(context.connection, comparison_id, contestants)
    return [(pool, len(seeds)) for pool in pools]


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
    best, runner_up = known[chosen[0]], known.get(chosen[1]) if len(chosen) > 1 else None
    assert best is not None
    difference = None if runner_up is None else best - runner_up
    seeds = list(study.seeds or ())
    return SearchClaim(best=best, runner_up=runner_up, difference=difference, seeds=seeds, trials=_tried(found))


def _tried(found: Sequence[StoredTrial]) -> int:
    """Return the number of trials that the best was chosen from, those that were pruned included."""
    return sum(trial.state != "failed" for trial in found)


def _fresh(confirmation: ConfirmationView, numbers: dict[str | None, int]) -> list[FreshResult]:
    ranked = {item.experiment_id: item.best for item in confirmation.ranking.items}
    results = []
    for each in confirmation.contestants:
        best = ranked.get(each.experiment_id)
        low, high = (best.ci_low, best.ci_high) if best else (None, None)
        results.append(
            FreshResult(
                number=numbers.get(each.trial_id),
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
    so_far = " so far" * (confirmation.state == "running")
    found = f"On {first.n} fresh seeds it is{so_far} {first.mean:.4g}"
    if first.interval is not None:
        found += f" (95 %: {first.interval[0]:.4g} to {first.interval[1]:.4g})"
    return f"{told} {found}. {confirmation.note}"
