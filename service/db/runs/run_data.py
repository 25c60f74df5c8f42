"""The data of runs that the diagnosis reads: curves, exact or in buckets, probe readings, and sibling runs."""

import math
from collections.abc import Collection, Iterator, Sequence
from operator import attrgetter

from sqlalchemy import Connection

from service.analysis.reduce import level_for
from service.analysis.result import run_result
from service.analysis.run_data import Reading, Series, Sibling
from service.db.metrics import range_query, read
from service.db.metrics.range_query import SeriesKey
from service.db.metrics.read import SYSTEM_PREFIX, SeriesSummary
from service.db.runs import probe_results, runs
from service.lifecycle import TERMINAL
from service.spec.measures import DATA_WAIT, RANKED_SERIES, default_series

MAX_POINTS = 2048  # of a series
COLUMNS = ("last_step", "mean", "min", "max", "nonfinite")  # as Series has them
RunSeries = tuple[str, SeriesSummary]  # a run and one of its series


def curves(connection: Connection, run_ids: Collection[str]) -> dict[str, dict[str, Series]]:
    """Return every series of each run, exact up to 2,048 points, else in buckets.

    Of the series of the machine only the wait for data is there.
    """
    exact: list[RunSeries] = []
    reduced: dict[int, list[RunSeries]] = {}  # by the level of their buckets
    for run_id, summaries in read.summaries(connection, list(run_ids)).items():
        named = [
            (run_id, each) for each in summaries if not each.name.startswith(SYSTEM_PREFIX) or each.name == DATA_WAIT
        ]
        exact += [each for each in named if 0 < each[1].n <= MAX_POINTS]
        if long := [each for each in named if each[1].n > MAX_POINTS]:
            level = level_for(*_range(long), MAX_POINTS)
            reduced.setdefault(level, []).extend(long)
    found: dict[str, dict[str, Series]] = {run_id: {} for run_id in run_ids}
    for run_id, name, series in _exact(connection, exact):
        found[run_id][name] = series
    for level, long in reduced.items():  # runs of one length have one level
        for run_id, name, series in _reduced(connection, long, level):
            found[run_id][name] = series
    return found


def _range(known: Sequence[RunSeries]) -> tuple[int, int]:
    return min(each.first_step or 0 for _, each in known), max(each.last_step or 0 for _, each in known)


def _exact(connection: Connection, known: Sequence[RunSeries]) -> Iterator[tuple[str, str, Series]]:
    found = range_query.points(connection, [SeriesKey(run_id, each.id) for run_id, each in known], 0, 2**62)
    for (run_id, each), a, b in zip(known, found.bounds, found.bounds[1:], strict=False):
        if a < b:
            yield run_id, each.name, Series.exact(found.steps[a:b], found.values[a:b])


def _reduced(connection: Connection, known: Sequence[RunSeries], level: int) -> Iterator[tuple[str, str, Series]]:
    keys = [SeriesKey(run_id, each.id) for run_id, each in known]
    found = range_query.buckets(connection, keys, level, *_range(known), COLUMNS)
    columns = [found.columns[name] for name in COLUMNS]
    for (run_id, each), a, b in zip(known, found.bounds, found.bounds[1:], strict=False):
        if a < b:
            yield run_id, each.name, Series.of_columns([column[a:b] for column in columns])


def probe_readings(connection: Connection, run_ids: Collection[str]) -> dict[str, list[Reading]]:
    """Return the visible readings of each run and of its probes, by step."""
    by_step = attrgetter("step", "id")
    return {
        run_id: [Reading(each.id, each.step, each.kind, each.data) for each in sorted(found, key=by_step)]
        for run_id, found in probe_results.of_runs(connection, run_ids).items()
    }


def siblings(connection: Connection, experiment_ids: Collection[str]) -> dict[str, tuple[list[Sibling], str]]:
    """Return for each experiment the results of its ended seeds, and the series that is ranked by default."""
    counting = runs.of_experiments(connection, list(experiment_ids))
    known = read.summaries(connection, [each.id for each in counting], RANKED_SERIES)
    by_name = {run_id: {summary.name: summary for summary in found if summary.n} for run_id, found in known.items()}
    found: dict[str, tuple[list[Sibling], str]] = {}
    for experiment_id in experiment_ids:
        seeds = [each for each in counting if each.experiment_id == experiment_id]
        name = default_series({series for each in seeds for series in by_name[each.id]})
        ended = [each for each in seeds if each.state in TERMINAL]
        values = [run_result(each, by_name[each.id], name, "last").value for each in ended]
        finals = [math.nan if value is None else value for value in values]
        found[experiment_id] = [Sibling(e.id, e.seed, f) for e, f in zip(ended, finals, strict=True)], name
    return found
