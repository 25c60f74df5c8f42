"""Commands on studies: post, pause, resume, stop, extend, clone, and a trial by hand."""

import hashlib
from typing import Any

from service.db.access import audit
from service.db.runs import decisions
from service.db.studies import studies, trials
from service.db.studies.studies import StoredStudy
from service.errors import Conflict, Invalid, Problem
from service.experiments.context import Context, Made
from service.nonfinite import dumps
from service.schemas.studies.answers import StudyView, TrialView
from service.schemas.studies.requests import CloneRequest, ExtendRequest, TrialRequest
from service.spec.component import under
from service.spec.parse.fork import with_suffix
from service.spec.parse.presets import merge_patch
from service.spec.studies.parse import parse_study
from service.spec.studies.space import locate
from service.spec.studies.study import Budget
from service.studies import budget
from service.studies.answers import NOTHING, study_view, trial_view
from service.studies.documents import expand
from service.studies.estimate import study_warnings
from service.studies.stored import study_of
from service.studies.submission import first_pause, spec_at, submit_trial

Queued = tuple[tuple[str, int], ...]


def post_study(
    context: Context, document: Any, key: str | None = None, cloned_from: str | None = None
) -> Made[StudyView]:
    """Store a study, whose first trials follow within a second; raise `Invalid` with every problem of the document."""
    parsed = parse_study(expand(document), context.resolve)
    warnings, normalised = study_warnings(context, parsed), parsed.study.normalised()
    request_hash = hashlib.sha256(dumps(normalised).encode()).hexdigest()
    stored, new = studies.add(
        context.connection, context.principal, parsed.study.name, normalised, cloned_from, key, request_hash
    )
    if new:
        audit.record(context.connection, context.principal, "study.submit", stored.id, name=stored.name)
    view = study_view(context.connection, context.principal, stored, warnings)
    return Made(view, f"/v1/studies/{stored.id}", new)


def clone_study(context: Context, study_id: str, request: CloneRequest, key: str | None) -> Made[StudyView]:
    """Store a new study with the document of another, changed; it begins without trials."""
    stored = studies.get(context.connection, context.principal, study_id)
    name = request.name or with_suffix(stored.name, " (copy)")
    document = merge_patch({**stored.document, "name": name}, request.changes)
    return post_study(context, document, key, cloned_from=stored.id)


def pause_study(context: Context, study_id: str) -> StudyView:
    """Give out nothing new, and have what waits or trains pause with its checkpoint."""
    stored = _lock(context, study_id)
    if stored.state in studies.ENDED:
        raise Conflict(f"The study has {_ended(stored)}: only a running study can be paused.")
    if stored.state == "running":
        for experiment_id in _training(context, stored):
            decisions.pause_runs(context.connection, experiment_id, by=_by(stored), why="the study was paused")
        _set(context, stored, "paused", None, "pause")
    return _view(context, study_id)


def resume_study(context: Context, study_id: str) -> tuple[StudyView, Queued]:
    """Go on with a paused study; its runs are queued again and keep the step where they pause by themselves."""
    stored = _lock(context, study_id)
    if stored.state in studies.ENDED:
        raise Conflict(f"The study has {_ended(stored)}: {_instead(stored)}.")
    queued: list[tuple[str, int]] = []
    if stored.state == "paused":
        for experiment_id in _training(context, stored):
            resumed = decisions.resume_runs(
                context.connection, experiment_id, by=_by(stored), why="the study was resumed"
            )
            queued += [(pool, 1) for pool in resumed]
        _set(context, stored, "running", None, "resume")
    return _view(context, study_id), tuple(queued)


def stop_study(context: Context, study_id: str) -> StudyView:
    """End the study: what has not ended of it is cancelled, and counts as pruned."""
    stored = _lock(context, study_id)
    if stored.state in ("finished", "failed"):
        raise Conflict(f"The study has {_ended(stored)} already.")
    if stored.state != "stopped":
        why = f"stopped by {context.principal.member}"
        for trial in trials.all_of(context.connection, stored.id):
            if trial.open:
                trials.end(context.connection, stored.id, trial.number, "pruned", f"the study was {why}")
                if trial.experiment_id is not None:
                    decisions.stop_runs(context.connection, trial.experiment_id, by=_by(stored), why=why)
        _set(context, stored, "stopped", why, "stop")
    return _view(context, study_id)


def extend_study(context: Context, study_id: str, request: ExtendRequest) -> StudyView:
    """Add to the budget; a study that has finished goes on. Pruned trials stay so."""
    stored = _lock(context, study_id)
    if stored.state in ("stopped", "failed"):
        raise Conflict(f"The study has {_ended(stored)}: clone it instead.")
    more = request.model_dump(exclude_none=True)
    if not more:
        raise Invalid.of([Problem("", "missing", "give at least one of trials, steps and device_seconds.")])
    before = study_of(stored).budget
    detail = "the study has no such limit, so there is nothing to extend: leave it out."
    if problems := [Problem(f"/{name}", "no_limit", detail) for name in more if getattr(before, name) is None]:
        raise Invalid.of(problems)
    changed = before.model_dump() | {name: getattr(before, name) + value for name, value in more.items()}
    Budget.model_validate(changed)
    document = {**stored.document, "budget": changed}
    studies.set_document(context.connection, stored.id, document)
    state = "running" if stored.state == "finished" else stored.state
    _set(context, stored, state, None, "extend", **more)
    return _view(context, study_id)


def add_trial(context: Context, study_id: str, request: TrialRequest) -> Made[TrialView]:
    """Submit a point that somebody chose; it counts as any other trial, in the budget and for the sampler."""
    stored = _lock(context, study_id)
    if stored.state != "running":
        fix = "resume it" if stored.state == "paused" else "extend it"
        raise Conflict(f"The study is {stored.state}: {fix} before trials are added.")
    study, connection = study_of(stored), context.connection
    if locate(study.space, request.point) is None:
        detail = "give a value within its range for each dimension that is active there, and no other field."
        raise Invalid.of([Problem("/point", "not_in_space", detail, sorted(study.space))])
    found, seeds = trials.all_of(connection, stored.id), len(study.seeds or (0,))
    use = budget.used(found, trials.costs(connection, stored.id), seeds)
    if reason := budget.no_more_points(study.budget, use):
        raise Conflict(f"No trial can be added: {reason}. Extend the study.")
    try:
        spec = spec_at(context, study, request.point)
    except Invalid as error:
        raise Invalid.of(list(under("/point", error.problems))) from None
    if not budget.fits(study.budget, use, seeds * first_pause(study, spec)):
        raise Conflict("No trial can be added: the budget of steps does not reach for another. Extend the study.")
    number = len(found)
    queued = submit_trial(context, stored, study, number, request.point, spec, by_hand=True)
    audit.record(connection, context.principal, "study.add_trial", stored.id, trial=number)
    made = trials.page(connection, stored.id, 1, number - 1)[0]
    return Made(trial_view(made, NOTHING), f"/v1/studies/{stored.id}/trials", True, (queued,))


def _lock(context: Context, study_id: str) -> StoredStudy:
    return studies.get(context.connection, context.principal, study_id, lock=True)


def _view(context: Context, study_id: str) -> StudyView:
    stored = studies.get(context.connection, context.principal, study_id)
    return study_view(context.connection, context.principal, stored)


def _set(context: Context, stored: StoredStudy, state: str, why: str | None, verb: str, **told: Any) -> None:
    studies.set_state(context.connection, stored.id, state, why)
    audit.record(context.connection, context.principal, f"study.{verb}", stored.id, **told)


def _training(context: Context, stored: StoredStudy) -> list[str]:
    """Return the experiments of the trials that are not at a rung."""
    found = trials.all_of(context.connection, stored.id)
    return [str(trial.experiment_id) for trial in found if trial.state == "running" and trial.experiment_id]


def _by(stored: StoredStudy) -> str:
    return f"study {stored.id}"


def _ended(stored: StoredStudy) -> str:
    return "been stopped" if stored.state == "stopped" else stored.state


def _instead(stored: StoredStudy) -> str:
    return "extend it instead" if stored.state == "finished" else "clone it instead"
