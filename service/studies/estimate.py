"""A dry run: the first points, and what the study would cost if each trial were trained to its end."""

from service.db.runs import duration_estimate
from service.errors import Invalid, Problem, QuotaExceeded
from service.experiments.answers import duration_view
from service.experiments.context import Context
from service.experiments.pool_warnings import pool_warnings
from service.experiments.rate_warnings import rate_warnings
from service.experiments.variants import reseeded
from service.nonfinite import dumps
from service.schemas.problems import ProblemItem
from service.schemas.studies.answers import StudyPreview
from service.spec.experiment import Experiment
from service.spec.studies.parse import ParsedStudy, parse_study
from service.spec.studies.study import Study
from service.studies.documents import expand
from service.studies.rungs import rung_steps
from service.studies.suggest.ask import ask
from service.studies.trial import Trial, TrialState

FIRST_POINTS = 5


def preview_study(context: Context, document: object) -> StudyPreview:
    """Check a document and say what it would do; raise `Invalid` with every problem."""
    parsed = parse_study(expand(document), context.resolve)
    study, spec = parsed.study, parsed.spec
    steps, reach = len(study.seeds or (0,)) * spec.total_steps, trials_within(study, spec)
    pace = duration_estimate.step_duration(context.connection, context.principal, spec)
    return StudyPreview(
        document=study.normalised(),
        points=first_points(study),
        trials=reach,
        steps_per_trial=steps,
        rung_steps=list(rung_steps(study, spec.total_steps)),
        duration=duration_view(pace, steps * (reach or 1)),
        warnings=[ProblemItem(**problem.as_json()) for problem in study_warnings(context, parsed)],
    )


def study_warnings(context: Context, parsed: ParsedStudy) -> list[Problem]:
    """Return what is allowed and probably not meant, what will keep trials waiting, and what runs say of the rate."""
    searched = "/optimizer" in dumps(parsed.study.normalised()["space"])
    tried = [] if searched else rate_warnings(context.connection, context.principal, parsed.spec)
    return [
        *parsed.warnings,
        *pool_warnings(context.connection, parsed.spec, context.settings.pool),
        *(each.under("/base") for each in tried),
        *room_warnings(context, parsed),
    ]


def room_warnings(context: Context, parsed: ParsedStudy) -> list[Problem]:
    """Return what would keep the first trial waiting: a study over its quota waits, and is not refused."""
    try:
        context.check_room(reseeded(parsed.spec, parsed.study.seeds or parsed.spec.seeds))
    except QuotaExceeded as error:
        return [Problem("/budget", "quota_exceeded", f"trials will wait for the quota: {error.detail}")]
    except Invalid as error:
        return [Problem("/base", each.code, f"trials will wait for the disk: {each.detail}") for each in error.problems]
    return []


def first_points(study: Study) -> list[dict[str, object]]:
    """Return the points that the study gives out before it knows any result."""
    found: list[Trial] = []
    for number in range(min(FIRST_POINTS, study.budget.trials or FIRST_POINTS)):
        point = ask(study, found, number, keep=False)
        if point is None:
            break
        found.append(Trial(number, point, TrialState.RUNNING))
    return [dict(trial.point) for trial in found]


def trials_within(study: Study, spec: Experiment) -> int | None:
    """Return how many trials the budget reaches for if each takes the base's steps to its end; None: seconds decide."""
    steps = len(study.seeds or (0,)) * spec.total_steps
    limits = [study.budget.trials, None if study.budget.steps is None else study.budget.steps // max(steps, 1)]
    known = [limit for limit in limits if limit is not None]
    return min(known) if known else None
