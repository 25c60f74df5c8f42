"""The planned rate beside the applied one, and points that a later attempt superseded."""

from collections.abc import Sequence
from math import isclose, isnan

from service.analysis.reduce import reduce
from service.db.access.principal import Principal
from service.db.experiments import experiments
from service.db.metrics import read, superseded
from service.db.metrics.read import SeriesSummary
from service.db.runs import runs
from service.db.session import Connection
from service.experiments.parsed_spec import parsed_spec
from service.schemas.planned_rate import Applied, GhostsView, GhostView, PlannedView
from service.spec.experiment import Experiment

CLOSE = 1e-6  # relative: applied rates may be stored as float32


def planned_rate(connection: Connection, principal: Principal, run_id: str, points: int) -> PlannedView:
    """Return the planned rate at evenly spread steps, the first and the last among them, beside what was applied."""
    run = runs.get(connection, principal, run_id)
    spec = parsed_spec(experiments.get(connection, principal, run.experiment_id))
    total = run.total_steps
    count = min(points, total)
    steps = [1 + round(i * (total - 1) / max(count - 1, 1)) for i in range(count)]
    summaries = {each.name: each for each in read.summaries(connection, [run.id])[run.id]}
    checked = _checked(spec, summaries.get("lr"))
    pure = spec.schedule.pure
    return PlannedView(
        steps=steps,
        rates=[spec.rate(step) for step in steps],
        watches=spec.schedule.watched_series,
        checked=checked,
        deviates=any(not _same(each) for each in checked) if checked and pure else None,
    )


def _checked(spec: Experiment, applied: SeriesSummary | None) -> list[Applied]:
    if applied is None:
        return []
    known = [(applied.last_step, applied.last), (applied.min_step, applied.min), (applied.max_step, applied.max)]
    there = {step: value for step, value in known if step is not None and value is not None}
    return [Applied(step=step, planned=spec.rate(step), applied=value) for step, value in sorted(there.items())]


def _same(each: Applied) -> bool:
    return isclose(each.planned, each.applied, rel_tol=CLOSE, abs_tol=1e-30)


def superseded_points(
    connection: Connection, principal: Principal, run_id: str, names: list[str], points: int
) -> GhostsView:
    """Return the points of lost attempts that no curve shows, reduced to `points` buckets each."""
    run = runs.get(connection, principal, run_id)
    return GhostsView(items=[_ghost(each, points) for each in superseded.superseded_curves(connection, run.id, names)])


def _ghost(tail: superseded.SupersededCurve, points: int) -> GhostView:
    reduced = reduce(tail.curve.steps, tail.curve.values, points)
    values: Sequence[float] = reduced.mean.tolist()
    return GhostView(
        name=tail.name,
        attempt=tail.attempt,
        step=reduced.last_step.tolist(),
        value=[None if isnan(value) else value for value in values],
    )
