"""Submitting a document: check it, store it, queue its runs; or a dry run, which stores nothing."""

import hashlib
from collections.abc import Sequence
from typing import Any

from service import tracing
from service.db.experiments.experiments import AddedExperiment, StoredExperiment
from service.db.runs import duration_estimate
from service.errors import Invalid, Problem
from service.experiments.answers import derived, duration_view
from service.experiments.context import Context, Made
from service.experiments.pool_warnings import pool_warnings
from service.experiments.rate_warnings import rate_warnings
from service.experiments.run_answers import read_runs, run_view
from service.nonfinite import dumps
from service.schemas.experiments import PostedExperiment
from service.schemas.problems import ProblemItem
from service.schemas.runs import RunView
from service.spec.checks.training import fold_problems
from service.spec.parse.experiment import ParsedExperiment, parse_experiment


def submit(context: Context, document: Any, key: str | None = None) -> Made[PostedExperiment]:
    """Store a spec and queue a run for each seed; raise `Invalid` with every problem of the document."""
    request_id = context.principal.request_id
    with tracing.span("check", request_id=request_id):
        understood = _parse(context, document)
    spec, pool = understood.spec, context.settings.pool
    waits = pool_warnings(context.connection, spec, pool)
    request_hash = hashlib.sha256(dumps(spec.normalised()).encode()).hexdigest()
    with tracing.span("store", request_id=request_id):
        added = context.add(spec, pool, None, key, request_hash)
    return made(context, understood, waits, added, spec.pool or pool)


def dry_run(context: Context, document: Any) -> PostedExperiment:
    """Check and normalise a document, and estimate what it would take."""
    understood = _parse(context, document)
    waits = [
        *pool_warnings(context.connection, understood.spec, context.settings.pool),
        *rate_warnings(context.connection, context.principal, understood.spec),
    ]
    context.check_room(understood.spec)
    return preview(context, understood, understood.spec.total_steps, waits)


def _parse(context: Context, document: Any) -> ParsedExperiment:
    """Return the experiment, whose seeds must have each fold as often."""
    understood = parse_experiment(document, context.resolve)
    if problems := [*fold_problems(understood.spec)]:
        raise Invalid.of(problems)
    return understood


def preview(context: Context, understood: ParsedExperiment, steps: int, waits: Sequence[Problem]) -> PostedExperiment:
    """Return the answer to a dry run, with an estimate of how long `steps` of it take."""
    estimate = duration_estimate.step_duration(context.connection, context.principal, understood.spec)
    return _answer(context, understood, waits).model_copy(update={"duration": duration_view(estimate, steps)})


def made(
    context: Context, understood: ParsedExperiment, waits: Sequence[Problem], added: AddedExperiment, pool: str
) -> Made[PostedExperiment]:
    """Return the answer to a stored spec; `waits` says what will keep its runs waiting."""
    runs, connection = added.runs, context.connection
    views = [run_view(run) for run in runs] if added.new else read_runs(connection, runs, with_places=False)
    queued = ((pool, len(runs)),) if added.new else ()
    answer = _answer(context, understood, waits, added.stored, views)
    return Made(answer, f"/v1/experiments/{added.id}", added.new, queued)


def _answer(
    context: Context,
    understood: ParsedExperiment,
    waits: Sequence[Problem],
    stored: StoredExperiment | None = None,
    views: Sequence[RunView] = (),
) -> PostedExperiment:
    spec = understood.spec
    return PostedExperiment(
        id=stored.id if stored else None,
        name=spec.name,
        owner=stored.owner if stored else context.principal.member,
        hash=spec.hash,
        created_at=stored.created_at if stored else None,
        spec=spec.normalised(),
        runs=list(views),
        warnings=[ProblemItem(**problem.as_json()) for problem in [*understood.warnings, *waits]],
        derived=derived(spec),
    )
