"""Trying the remedy of a finding: one experiment goes on without it, one with it, from the same state.

The state is the newest kept checkpoint from before the symptom, or where the run began. A remedy that goes on from the
way out of a saddle begins with a probe job at the saddle; once that has ended, its state is forked from.
"""

import copy
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from service.db.access.projects import of_member
from service.db.experiments import experiments, verifications
from service.db.experiments.verifications import StoredVerification, Tried
from service.db.runs import checkpoints, derived_runs, runs
from service.db.runs.checkpoints import CheckpointKey
from service.db.runs.queue import Origin
from service.db.runs.runs import StoredRun
from service.db.session import Connection, Engine, transaction
from service.errors import Conflict, Invalid, SaddleError
from service.experiments.context import Context
from service.experiments.parsed_spec import parsed_spec
from service.experiments.variants import renamed, reseeded
from service.lifecycle import Relation, State
from service.settings import Settings
from service.spec.experiment import Experiment
from service.spec.parse.document import validate
from service.spec.parse.experiment import parse_experiment
from service.spec.parse.fork import fork_problems
from service.spec.parse.json_patch import apply_patch
from service.spec.probe_jobs import ProbeTask

ESCAPABLE = ("strict_saddle",)  # verdicts whose remedy is to go on from the way out
JOB = {"probes": [{"kind": "critical_point"}]}
Finding = Mapping[str, Any]


def begin(context: Context, run_id: str, finding: Finding, seeds: int, key: str | None = None) -> tuple[str, bool]:
    """Queue the runs that will tell: the verification's id, and whether it is new. `Conflict`: there is no remedy."""
    connection, principal = context.connection, context.principal
    parent = runs.get(connection, principal, run_id, lock=True)
    if found := verifications.earlier(connection, run_id, finding["id"], seeds, key):
        return found, False
    spec = parsed_spec(experiments.get(connection, principal, parent.experiment_id))
    plain = reseeded(spec, tuple(range(parent.seed, parent.seed + seeds)))
    escapes = finding["verdict"] in ESCAPABLE
    if not (escapes or finding["patch"]):
        raise Conflict(f"Finding {finding['id']} has no remedy that can be tried.")
    with_it = plain if escapes else _patched(context, plain, finding["patch"])
    origin = _origin(connection, parent, finding, None if escapes else with_it, spec)
    derived_runs.check_origin_exists(connection, parent, origin)
    if escapes:
        plain = _long_enough(plain, origin.step)
    control = context.add(_named(plain, finding, "without"), parent.pool, origin)[0]
    tried = Tried(dict(finding), plain.seeds, origin.step, control)
    if escapes:
        job, _ = derived_runs.probe(connection, principal, run_id, _task(), origin.step)
        tried = Tried(*_facts(tried), job_id=job)
    else:
        tried = Tried(*_facts(tried), patched_id=context.add(_named(with_it, finding, "with"), parent.pool, origin)[0])
    return verifications.add(connection, principal, parent, tried, key), True


def _facts(tried: Tried) -> tuple[dict[str, Any], tuple[int, ...], int, str]:
    return tried.found, tried.seeds, tried.from_step, tried.control_id


def _long_enough(spec: Experiment, step: int) -> Experiment:
    """A run that stood at its saddle to the end has no steps left to show a way out: then as many as it had."""
    total = spec.total_steps
    return spec if total - step >= total / 2 else spec.model_copy(update={"steps": step + total, "epochs": None})


def _named(spec: Experiment, finding: Finding, word: str) -> Experiment:
    return renamed(spec, f", {word} the remedy of {finding['id']}")


def _patched(context: Context, spec: Experiment, operations: Sequence[Mapping[str, Any]]) -> Experiment:
    """The spec with the remedy, checked as a posted one is."""
    try:
        document = copy.deepcopy(apply_patch(spec.normalised(), operations))
        del document["restarts"]
        document["dataset"].pop("resolved", None)
        return parse_experiment(document, context.resolve).spec
    except Invalid as error:
        where = "; ".join(f"{problem.pointer}: {problem.detail}" for problem in error.problems)
        raise Conflict(f"The remedy does not fit the spec any more: {where}") from None


def _origin(
    connection: Connection, parent: StoredRun, finding: Finding, with_it: Experiment | None, spec: Experiment
) -> Origin:
    """Where both go on from. A remedy that changes what a checkpoint's weights are for begins at the beginning."""
    first, last = finding["steps"] or (0, 0)
    there = checkpoints.usable(connection, parent.id)
    if with_it is None:  # a saddle: where the run stands at it
        chosen = next((each for each in there if first <= each.step <= max(first, last)), None)
        return _from(parent, chosen)
    fits = partial(fork_problems, spec, with_it.model_copy(update={"seeds": spec.seeds[:1]}), loads=True)
    healthy = [each for each in there if each.step < first]
    chosen = next((each for each in healthy if not list(fits(step=each.step))), None)
    if chosen is None and list(fits(step=parent.origin_step)):
        return Origin(parent.id, Relation.FORK)
    return _from(parent, chosen)


def _from(parent: StoredRun, chosen: CheckpointKey | None) -> Origin:
    if chosen is None:
        return Origin(parent.id, Relation.FORK, None, parent.origin_step)
    return Origin(parent.id, Relation.FORK, chosen.attempt, chosen.step)


def _task() -> dict[str, Any]:
    """The instrument with its defaults filled in."""
    return validate(ProbeTask, JOB).model_dump(mode="json")


def advance(engine: Engine, settings: Settings) -> list[tuple[str, int]]:
    """Fork from the state that each ended job left: which pools have how many more runs waiting."""
    queued: list[tuple[str, int]] = []
    while True:
        with transaction(engine) as connection:
            found = verifications.due(connection)
            if found is None:
                return queued
            pool = _goes_on(Context(connection, of_member(connection, found[1]), settings), found[0])
        if pool is not None:
            queued.append((pool, len(found[0].seeds)))


def _goes_on(context: Context, found: StoredVerification) -> str | None:
    """The remedy that waited for its job; its pool, or None where the job found no way out."""
    connection = context.connection
    try:
        assert found.job_id is not None
        job = runs.get(connection, context.principal, found.job_id, lock=True)
        left = [each for each in checkpoints.usable(connection, job.id) if each.step == found.from_step]
        if job.state is not State.SUCCEEDED or not left:
            why = f"the job has {job.state.value}" if job.state is not State.SUCCEEDED else "no lower place was found"
            verifications.settle(connection, found, None, f"The way out of the saddle was not found: {why}.")
            return None
        spec = parsed_spec(experiments.get(connection, context.principal, job.experiment_id))
        with_it = _named(_long_enough(reseeded(spec, found.seeds), found.from_step), found.found, "with")
        made = context.add(with_it, job.pool, Origin(job.id, Relation.FORK, left[0].attempt, left[0].step))[0]
    except SaddleError as error:  # deleted meanwhile
        verifications.settle(connection, found, None, f"The remedy cannot be tried any more: {error.detail}")
        return None
    verifications.settle(connection, found, made, None)
    return job.pool
