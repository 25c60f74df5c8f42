"""Everything recorded of a run, small enough to be judged at once: curves exact or in buckets, readings, seeds."""

import math
from collections.abc import Sequence

from sqlalchemy import Connection

from service.analysis.recorded import Reading, Series, Sibling
from service.analysis.reduce import level_for
from service.analysis.result import run_result
from service.db.access.projects import Principal
from service.db.metrics import range_query, read
from service.db.metrics.range_query import SeriesKey
from service.db.metrics.read import SYSTEM_PREFIX, SeriesSummary
from service.db.runs import probe_results, runs
from service.db.runs.runs import StoredRun
from service.lifecycle import TERMINAL
from service.spec.measures import RANKED_SERIES, default_series

MAX_POINTS = 2048  # most of a series
COLUMNS = ("last_step", "mean", "min", "max", "nonfinite")  # as Series has them


def curves(connection: Connection, run_id: str) -> dict[str, Series]:
    """Every series of a run that is not about the machine: exact up to 2,048 points, else in buckets with extremes."""
    known = [each for each in read.summaries(connection, [run_id])[run_id] if not each.name.startswith(SYSTEM_PREFIX)]
    short = [each for each in known if 0 < each.n <= MAX_POINTS]
    long = [each for each in known if each.n > MAX_POINTS]
    return _exact(connection, run_id, short) | _reduced(connection, run_id, long)


def _exact(connection: Connection, run_id: str, known: Sequence[SeriesSummary]) -> dict[str, Series]:
    found = range_query.points(connection, [SeriesKey(run_id, each.id) for each in known], 0, 2**62)
    ends = zip(known, found.bounds, found.bounds[1:], strict=False)
    return {each.name: Series.exact(found.steps[a:b], found.values[a:b]) for each, a, b in ends if a < b}


def _reduced(connection: Connection, run_id: str, known: Sequence[SeriesSummary]) -> dict[str, Series]:
    if not known:
        return {}
    first, last = min(each.first_step or 0 for each in known), max(each.last_step or 0 for each in known)
    level = level_for(first, last, MAX_POINTS)
    found = range_query.buckets(connection, [SeriesKey(run_id, each.id) for each in known], level, first, last, COLUMNS)
    columns = [found.columns[name] for name in COLUMNS]
    ends = zip(known, found.bounds, found.bounds[1:], strict=False)
    return {each.name: Series.of_columns([column[a:b] for column in columns]) for each, a, b in ends if a < b}


def probe_readings(connection: Connection, principal: Principal, run_id: str) -> list[Reading]:
    """The visible readings of a run and of its probes, oldest first."""
    found = probe_results.of_run(connection, principal, run_id, None, 0, probe_results.MAX_READINGS)
    ordered = sorted(found, key=lambda each: (each.step, each.id))
    return [Reading(each.id, each.step, each.kind, each.data) for each in ordered]


def siblings(connection: Connection, run: StoredRun) -> tuple[list[Sibling], str]:
    """Return what the seeds of its experiment that have ended came to, and the series that is ranked by default."""
    counting = runs.of_experiments(connection, [run.experiment_id])
    known = read.summaries(connection, [each.id for each in counting], RANKED_SERIES)
    by_name = {run_id: {summary.name: summary for summary in found if summary.n} for run_id, found in known.items()}
    name = default_series({series for found in by_name.values() for series in found})
    ended = [each for each in counting if each.state in TERMINAL]
    values = [run_result(each, by_name[each.id], name, "last").value for each in ended]
    finals = [math.nan if value is None else value for value in values]
    return [Sibling(each.id, each.seed, final) for each, final in zip(ended, finals, strict=True)], name
