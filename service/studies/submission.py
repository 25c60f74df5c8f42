"""A point becomes a trial: an experiment with the study's name, the trial's number, and a pause at the first rung."""

from collections.abc import Mapping
from typing import Any

from service.db.experiments.experiments import NewExperiment
from service.db.studies import trials
from service.db.studies.studies import StoredStudy
from service.db.studies.trials import NewTrial
from service.errors import Invalid
from service.experiments.context import Context
from service.experiments.variants import reseeded
from service.spec.experiment import Experiment
from service.spec.parse.experiment import parse_experiment
from service.spec.parse.fork import with_suffix
from service.spec.studies.points import apply
from service.spec.studies.study import Study
from service.studies.rungs import rung_steps


def spec_at(context: Context, study: Study, point: Mapping[str, Any]) -> Experiment:
    """Return the spec of a point with the study's seeds; raise `Invalid` where the point makes no valid spec."""
    spec = parse_experiment(apply(study.base, point), context.resolve).spec
    return spec if study.seeds is None else reseeded(spec, study.seeds)


def submit_trial(
    context: Context,
    stored: StoredStudy,
    study: Study,
    number: int,
    point: Mapping[str, Any],
    spec: Experiment,
    by_hand: bool = False,
    repeats: int | None = None,
) -> tuple[str, int]:
    """Store the trial and its experiment, and queue a run for each seed; return their pool and how many they are.

    Nothing is trained beside a trial that learns little: a search expects such trials, and its budget is for points.
    """
    context.check_disk(spec)
    named = spec.model_copy(update={"name": with_suffix(stored.name, f" #{number}"), "diagnose": "never"})
    steps, pool = rung_steps(study, spec.total_steps), spec.pool or context.settings.pool
    new = NewExperiment(named, pool, study_id=stored.id, trial=number, pause_at=steps[0] if steps else None)
    (added,) = context.add_many([new])
    trial = NewTrial(number, point, added.id, spec.total_steps, steps, by_hand, repeats)
    trials.add(context.connection, stored.id, stored.project_id, trial)
    return pool, len(added.runs)


def first_pause(study: Study, spec: Experiment) -> int:
    """Return the step where each run of a new trial pauses first, or ends."""
    steps = rung_steps(study, spec.total_steps)
    return steps[0] if steps else spec.total_steps


def record_invalid(
    context: Context, stored: StoredStudy, number: int, point: Mapping[str, Any], error: Invalid
) -> None:
    """Store a trial that failed because its point makes no valid spec."""
    first = error.problems[0] if error.problems else None
    why = f"the point makes no valid spec: {first.pointer}: {first.detail}" if first else str(error.detail)
    new = NewTrial(number, point, None, why=why[:500])
    trials.add(context.connection, stored.id, stored.project_id, new)
