"""The visible points of several runs' series in one statement: exact, or thinned by their stored buckets."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from sqlalchemy import Connection

from service.analysis.reduce import level_for
from service.db.metrics import pyramid
from service.db.metrics.codec import unpack
from service.db.metrics.metrics import Curve, Summary
from service.db.metrics.pyramid import Asked

READ = """
    SELECT s.run_id, s.name, m.first_step, m.last_step, m.every, m.n, m.values, m.steps
    FROM series s JOIN metric_chunk m ON m.run_id = s.run_id AND m.series_id = s.id
    JOIN attempt a ON a.run_id = m.run_id AND a.attempt = m.attempt
    WHERE s.run_id = ANY(%(runs)s) AND s.name = ANY(%(names)s)
      AND (a.cut_step IS NULL OR m.last_step <= a.cut_step)
    ORDER BY s.run_id, s.name, m.first_step
"""
FIRST = """
    SELECT s.run_id, m.first_step, m.last_step, m.every, m.n, m.values, m.steps
    FROM series s JOIN LATERAL (
        SELECT m.* FROM metric_chunk m JOIN attempt a ON a.run_id = m.run_id AND a.attempt = m.attempt
        WHERE m.run_id = s.run_id AND m.series_id = s.id AND (a.cut_step IS NULL OR m.last_step <= a.cut_step)
        ORDER BY m.first_step LIMIT 1) m ON true
    WHERE s.run_id = ANY(%(runs)s) AND s.name = %(name)s
"""
Parts = list[tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]]


def read(connection: Connection, run_ids: Sequence[str], names: Sequence[str]) -> dict[str, dict[str, Curve]]:
    """By run and name; what a run has not recorded is not there."""
    parts: dict[str, dict[str, Parts]] = {run_id: {} for run_id in run_ids}
    driver = connection.connection.driver_connection
    assert driver is not None
    with driver.cursor(binary=True) as cursor:
        cursor.execute(READ, {"runs": list(run_ids), "names": list(names)})
        for run_id, name, *fields in cursor:
            parts[run_id].setdefault(name, []).append(unpack(*fields))
    return {run: {name: _joined(found) for name, found in series.items()} for run, series in parts.items()}


def thinned(connection: Connection, wanted: Sequence[tuple[str, Summary]], points: int) -> dict[str, dict[str, Curve]]:
    """Of each series (run, summary) the last value of every stored bucket, all of one width, at most `points` each."""
    ends = [(each.first_step or 0, each.last_step or 0) for _, each in wanted]
    level = max(level_for(first, last, points) for first, last in ends)
    asked = [Asked(run_id, each.id) for run_id, each in wanted]
    found = pyramid.buckets(connection, asked, level, 0, max(last for _, last in ends), ("last_step", "last"))
    steps, values = found.columns["last_step"].astype(np.int64), found.columns["last"].astype(np.float64)
    curves: dict[str, dict[str, Curve]] = {run_id: {} for run_id, _ in wanted}
    for (run_id, each), begin, end in zip(wanted, found.bounds, found.bounds[1:], strict=False):
        curves[run_id][each.name] = Curve(steps[begin:end], values[begin:end])
    return curves


def first_values(connection: Connection, run_ids: Sequence[str], name: str) -> dict[str, float]:
    """The first visible value of a series, by run."""
    driver = connection.connection.driver_connection
    assert driver is not None
    with driver.cursor(binary=True) as cursor:
        cursor.execute(FIRST, {"runs": list(run_ids), "name": name})
        return {run_id: float(unpack(*fields)[1][0]) for run_id, *fields in cursor}


def _joined(parts: Parts) -> Curve:
    if len(parts) == 1:
        return Curve(*parts[0])
    steps, values = zip(*parts, strict=True)
    return Curve(np.concatenate(steps), np.concatenate(values))
