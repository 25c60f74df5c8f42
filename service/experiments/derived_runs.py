"""Runs made from runs: retry, replay, probe, and forks, which are experiments of their own."""

import hashlib
from collections.abc import Iterator

from service.db.experiments import experiments
from service.db.runs import checkpoints, derived_runs, runs
from service.errors import Invalid, Problem
from service.experiments import submit
from service.experiments.context import Context, Made
from service.experiments.parsed_spec import parsed_spec
from service.experiments.pool_warnings import pool_warnings
from service.experiments.run_answers import read_run
from service.nonfinite import dumps
from service.schemas.experiments import PostedExperiment
from service.schemas.requests import ForkRequest, ProbeRequest, ReplayRequest, RetryRequest
from service.schemas.runs import RunView
from service.spec.component import under
from service.spec.parse.fork import fork_spec
from service.spec.probes import ProbeBase
from service.spec.probes.on_demand import Line


def retry(context: Context, run_id: str, request: RetryRequest, key: str | None) -> Made[RunView]:
    """Queue a run that failed or was cancelled once more: same experiment, same seed."""
    return _made(context, *derived_runs.retry(context.connection, context.principal, run_id, request.beginning, key))


def replay(context: Context, run_id: str, request: ReplayRequest, key: str | None) -> Made[RunView]:
    """Train a run, or its first steps, once more, to see whether it comes out the same."""
    return _made(context, *derived_runs.replay(context.connection, context.principal, run_id, request.steps, key))


def probe(context: Context, run_id: str, request: ProbeRequest, key: str | None) -> Made[RunView]:
    """Look at a kept state of a run with instruments."""
    _check_instruments(context, run_id, request)
    task = request.model_dump(mode="json", include={"probes"})
    return _made(context, *derived_runs.probe(context.connection, context.principal, run_id, task, request.step, key))


def _made(context: Context, run_id: str, new: bool) -> Made[RunView]:
    view = read_run(context.connection, runs.get(context.connection, context.principal, run_id))
    return Made(view, f"/v1/runs/{run_id}", new, ((view.pool, 1),) if new else ())


def _check_instruments(context: Context, run_id: str, request: ProbeRequest) -> None:
    """Raise `Invalid` for contradictions, what does not fit the model, and other runs that have no checkpoint there."""
    found = list(request.problems())
    found += _misfits(context, run_id, request)
    lines = {at: each for at, each in enumerate(request.probes) if isinstance(each, Line)}
    named = {at: (each.run, each.step) for at, each in lines.items() if each.run is not None}
    usable = checkpoints.find_usable(context.connection, context.principal, set(named.values())) if named else set()
    detail = "there is no run of this project with a kept checkpoint there."
    found += [
        Problem(f"/probes/{at}/run", "no_checkpoint", detail) for at, state in named.items() if state not in usable
    ]
    if found:
        raise Invalid.of(found)


def _misfits(context: Context, run_id: str, request: ProbeRequest) -> Iterator[Problem]:
    """Yield instruments that do not fit the run's model; only a library's model is unknown here."""
    checked = [at for at, each in enumerate(request.probes) if type(each).layout_problems != ProbeBase.layout_problems]
    if not checked:
        return
    run = runs.get(context.connection, context.principal, run_id)
    layout = parsed_spec(experiments.get(context.connection, context.principal, run.experiment_id)).layout
    for at in checked:
        yield from under(f"/probes/{at}", request.probes[at].layout_problems(layout) if layout else ())


def fork(
    context: Context, run_id: str, request: ForkRequest, key: str | None, dry_run: bool
) -> Made[PostedExperiment] | PostedExperiment:
    """Go on from a checkpoint of a run with a changed spec, as a new experiment of one run."""
    connection, principal = context.connection, context.principal
    parent, origin = derived_runs.fork_origin(connection, principal, run_id, request.step)
    spec = parsed_spec(experiments.get(connection, principal, parent.experiment_id))
    understood = fork_spec(
        spec,
        parent.seed,
        origin.step,
        request.changes,
        request.name,
        context.resolve,
        loads=origin.attempt is not None,
    )
    waits = pool_warnings(connection, understood.spec, parent.pool)
    if dry_run:
        return submit.preview(context, understood, understood.spec.total_steps - origin.step, waits)
    asked = dumps([run_id, request.step, understood.spec.normalised()])
    request_hash = hashlib.sha256(asked.encode()).hexdigest()
    added = context.add(understood.spec, parent.pool, origin, key, request_hash)
    return submit.made(context, understood, waits, added, understood.spec.pool or parent.pool)
