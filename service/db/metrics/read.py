"""Reading stored series: the visible points as curves, and the summaries that need no points."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sqlalchemy import ARRAY, ColumnElement, Connection, Text, bindparam, func, select

from service.analysis.arrays import Steps, Values
from service.analysis.reduce import level_for
from service.db.driver import Statement
from service.db.metrics import range_query
from service.db.metrics.codec import unpack, unpack_between
from service.db.metrics.range_query import SeriesKey
from service.db.metrics.visible import ALL_VISIBLE_CHUNKS, visible_chunks
from service.db.session import fetch_binary
from service.db.tables import series

# ruff: noqa: S608  (statements are put together from pieces of SQL; every value is bound)
SYSTEM_PREFIX = "system/"  # begins the names of series about the machine: no two trainings agree in them
CURVES = """
    SELECT u.run_id, u.name, c.first_step, c.last_step, c.every, c.n, c.values, c.steps
    FROM (SELECT run_id, id AS series_id, name FROM series
        WHERE run_id = ANY(%(runs)s) AND name = ANY(%(names)s)) u
    {chunks} ORDER BY u.run_id, u.name, c.first_step
"""
WHOLE_CURVES = CURVES.format(chunks=ALL_VISIBLE_CHUNKS)
PARTS_OF_CURVES = CURVES.format(chunks=visible_chunks("%(first)s", "%(last)s"))
LAST_STEP = 2**62  # beyond every step
FIRST_VALUES = f"""
    SELECT u.run_id, c.first_step, c.last_step, c.every, c.n, c.values, c.steps
    FROM (SELECT run_id, id AS series_id, first_step FROM series
        WHERE run_id = ANY(%(runs)s) AND name = %(name)s AND n > 0) u
    {ALL_VISIBLE_CHUNKS} AND c.first_step <= u.first_step AND c.last_step >= u.first_step
"""


@dataclass(frozen=True)
class Curve:
    """One series of one run."""

    steps: Steps  # (n,)
    values: Values  # (n,)


def empty_curve() -> Curve:
    """Return a curve without points."""
    return Curve(np.empty(0, np.int64), np.empty(0))


@dataclass(frozen=True)
class SeriesSummary:
    """The summary of a series; min and max are over the finite values."""

    name: str
    n: int
    last_step: int | None
    last: float | None
    min: float | None
    min_step: int | None
    max: float | None
    max_step: int | None
    nonfinite: int
    first_step: int | None = None
    id: int = 0
    final: float | None = None  # the mean from step final_from to last_step; None: the last value speaks
    final_from: int | None = None


def _given(column: ColumnElement[str], name: str) -> ColumnElement[bool]:
    return column == func.any(bindparam(name, type_=ARRAY(Text)))


_OF_RUNS = select(series.c.run_id, *(series.c[each] for each in SeriesSummary.__dataclass_fields__))
_OF_RUNS = _OF_RUNS.where(_given(series.c.run_id, "runs")).order_by(series.c.run_id, series.c.name)
_SUMMARIES, _NAMED_SUMMARIES = Statement(_OF_RUNS), Statement(_OF_RUNS.where(_given(series.c.name, "names")))


def curves(
    connection: Connection, run_ids: Sequence[str], names: Sequence[str], first: int = 0, last: int = LAST_STEP
) -> dict[str, dict[str, Curve]]:
    """Return the visible points with first <= step <= last, by run and name; a series without any is left out."""
    given = {"runs": list(run_ids), "names": list(names), "first": first, "last": last}
    parts: dict[str, dict[str, list[tuple[Steps, Values]]]] = {run_id: {} for run_id in run_ids}
    whole = first <= 0 and last >= LAST_STEP  # then one join is faster than a scan for each series
    for run_id, name, *fields in fetch_binary(connection, WHOLE_CURVES if whole else PARTS_OF_CURVES, given):
        steps, values = unpack(*fields) if whole else unpack_between(first, last, *fields)
        if len(steps):
            parts[run_id].setdefault(name, []).append((steps, values))
    return {run: {name: join(found) for name, found in by_name.items()} for run, by_name in parts.items()}


def curves_of_run(connection: Connection, run_id: str, names: Sequence[str], first: int = 0) -> dict[str, Curve]:
    """Return the same of one run, by name."""
    return curves(connection, [run_id], names, first)[run_id]


def join(parts: Sequence[tuple[Steps, Values]]) -> Curve:
    """Return one curve from parts in the order of their steps."""
    if len(parts) == 1:
        return Curve(*parts[0])
    steps, values = zip(*parts, strict=True)
    return Curve(np.concatenate(steps), np.concatenate(values))


def thinned_curves(
    connection: Connection,
    wanted: Sequence[tuple[str, SeriesSummary]],
    points: int,
    first: int = 0,
    last: int = LAST_STEP,
) -> dict[str, dict[str, Curve]]:
    """Return the last value of every stored bucket of each (run, series), all of one width, at most `points` each.

    Only of the steps from `first` to `last`; their buckets are whole.
    """
    ends = [(max(each.first_step or 0, first), min(each.last_step or 0, last)) for _, each in wanted]
    level = max((level_for(low, high, points) for low, high in ends if low <= high), default=0)
    asked = [SeriesKey(run_id, each.id) for run_id, each in wanted]
    end = max(first, *(high for _, high in ends))
    found = range_query.buckets(connection, asked, level, first, end, ("last_step", "last"))
    steps, values = found.columns["last_step"].astype(np.int64), found.columns["last"].astype(np.float64)
    thinned: dict[str, dict[str, Curve]] = {run_id: {} for run_id, _ in wanted}
    for (run_id, each), begin, end in zip(wanted, found.bounds, found.bounds[1:], strict=False):
        thinned[run_id][each.name] = Curve(steps[begin:end], values[begin:end])
    return thinned


def first_values(connection: Connection, run_ids: Sequence[str], name: str) -> dict[str, float]:
    """Return the first visible value of a series, by run."""
    found = fetch_binary(connection, FIRST_VALUES, {"runs": list(run_ids), "name": name})
    return {run_id: float(unpack(*fields)[1][0]) for run_id, *fields in found}


def summaries(
    connection: Connection, run_ids: Sequence[str], names: Sequence[str] | None = None
) -> dict[str, list[SeriesSummary]]:
    """Return the summaries of every series of these runs, or of those with one of these names, by run."""
    found: dict[str, list[SeriesSummary]] = {run_id: [] for run_id in run_ids}
    if names is None:
        rows = _SUMMARIES.rows(connection, runs=list(run_ids))
    else:
        rows = _NAMED_SUMMARIES.rows(connection, runs=list(run_ids), names=list(names))
    for run_id, *fields in rows:
        found[run_id].append(SeriesSummary(*fields))
    return found
