"""Any window of any series at any zoom, from the rows that are just fine enough.

Values answer for buckets below 16 steps, chunks' own buckets below 256, tiles above; so the number of rows and bytes
read follows from the number of buckets asked for and not from the run's length. What tiles do not cover yet (the
newest part of an attempt) is read a level below. A cut hides rows of every level alike.
"""

# ruff: noqa: S608  (statements are put together from pieces of this file; every value is bound)
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from operator import itemgetter
from typing import Any

import numpy as np
import numpy.typing as npt

from service.analysis.arrays import Counts, Steps, Values
from service.analysis.reduce import COLUMNS, Reduced, bucketed, regroup, taken
from service.db.metrics.buckets import Row, together, unpack_buckets
from service.db.metrics.codec import BASE, unpack_between
from service.db.metrics.rows import ChunkRow, chunk_pieces
from service.db.metrics.tiles import FIRST, SIDE, tiers
from service.db.session import Connection, rows

ASKED = """
    FROM unnest(%(runs)s::text[], %(series)s::bigint[]) WITH ORDINALITY AS u(run_id, series_id, owner)
    JOIN attempt a ON a.run_id = u.run_id
"""
OWN = "{x}.run_id = u.run_id AND {x}.series_id = u.series_id AND {x}.attempt = a.attempt"
VISIBLE = "(a.cut_step IS NULL OR {x}.last_step <= a.cut_step)"
# Each look enters the index where its rows begin: at the row that holds `first`, or behind what tiles cover.
# OFFSET 0 keeps the planner from turning the look round.
ENTRY = f"""coalesce((SELECT b.first_step FROM {{table}} b
    WHERE {OWN.format(x="b")} {{tier}} AND b.first_step <= %(first)s ORDER BY b.first_step DESC LIMIT 1), 0)"""
COVERED = f"""coalesce((SELECT t.last_step FROM metric_tile t
    WHERE {OWN.format(x="t")} AND t.level = {{level}} AND {VISIBLE.format(x="t")}
    ORDER BY t.first_step DESC LIMIT 1), -1) + 1"""
CHUNKS = f"""
    CROSS JOIN LATERAL (SELECT greatest({ENTRY.format(table="metric_chunk", tier="")}, {{covered}}) AS low OFFSET 0) e
    CROSS JOIN LATERAL (SELECT * FROM metric_chunk c WHERE {OWN.format(x="c")}
        AND c.first_step BETWEEN e.low AND %(last)s AND c.last_step >= %(first)s
        AND {VISIBLE.format(x="c")} {{which}} ORDER BY c.first_step OFFSET 0) c
    ORDER BY u.owner
"""
WIDER = "(c.first_step >> %(level)s) <> (c.last_step >> %(level)s)"
POINTS = f"""
    SELECT u.owner - 1, c.first_step, c.last_step, c.every, c.n, c.values, c.steps
    {ASKED} {CHUNKS.format(covered=0, which="")}
"""
STORED = f"""
    SELECT u.owner - 1, c.first_step, c.last_step, c.buckets
    {ASKED} {CHUNKS.format(covered="{covered}", which=f"AND c.buckets IS NOT NULL AND {WIDER}")}
"""
PLAIN = f"""
    SELECT u.owner - 1, c.first_step, c.last_step, c.every, c.n, c.min, c.max, c.mean, c.last, c.nonfinite, NULL,
        CASE WHEN {WIDER} THEN c.values END, CASE WHEN {WIDER} THEN c.steps END
    {ASKED} {CHUNKS.format(covered="{covered}", which=f"AND NOT (c.buckets IS NOT NULL AND {WIDER})")}
"""
TILES = f"""
    SELECT u.owner - 1, c.level, c.first_step, c.last_step, c.buckets
    {ASKED}
    CROSS JOIN unnest(%(tiers)s::int[], %(above)s::int[]) AS tier(level, above)
    CROSS JOIN LATERAL (SELECT greatest(
        {ENTRY.format(table="metric_tile", tier="AND b.level = tier.level")},
        CASE WHEN tier.above > 0 THEN {COVERED.format(level="tier.above")} ELSE 0 END
    ) AS low OFFSET 0) e
    CROSS JOIN LATERAL (SELECT * FROM metric_tile c WHERE {OWN.format(x="c")} AND c.level = tier.level
        AND c.first_step BETWEEN e.low AND %(last)s AND c.last_step >= %(first)s
        AND {VISIBLE.format(x="c")} ORDER BY c.first_step OFFSET 0) c
    ORDER BY u.owner
"""
Column = npt.NDArray[np.float64] | npt.NDArray[np.int64]
PORTION = 16_384  # numbers worked on at once
UNDER = {level: COVERED.format(level=level) for level in (BASE + SIDE, FIRST)} | {0: "0"}  # what tiles leave of chunks


@dataclass(frozen=True)
class Asked:
    """A series of a run, by its id."""

    run_id: str
    series_id: int


@dataclass(frozen=True, eq=False)
class Points:
    """Points of many series; those of series i lie between bounds[i] and bounds[i + 1]."""

    steps: Steps
    values: Values
    bounds: Counts


@dataclass(frozen=True, eq=False)
class Buckets:
    """Some columns of the buckets of many series; those of series i lie between bounds[i] and bounds[i + 1]."""

    level: int
    columns: Mapping[str, Column]
    bounds: Counts
    exact: bool  # each bucket is one point


def points(connection: Connection, asked: Sequence[Asked], first: int, last: int) -> Points:
    """The visible points with first <= step <= last, exactly."""
    rows = _rows(connection, POINTS, asked, first=first, last=last)
    steps, values, owner = _points(rows, first, last)
    return Points(steps, values, _bounds(owner, len(asked)))


NEXT = f"""
    SELECT max(x.last_step) FROM (
        SELECT c.last_step FROM attempt a JOIN metric_chunk c ON c.run_id = a.run_id AND c.attempt = a.attempt
        WHERE a.run_id = %(run)s AND c.series_id = %(series)s AND c.last_step >= %(first)s
            AND c.first_step <= %(last)s AND {VISIBLE.format(x="c")}
        ORDER BY c.first_step LIMIT %(rows)s) x
"""


def reach(connection: Connection, asked: Asked, first: int, last: int, rows: int) -> int | None:
    """The last step of the next `rows` chunks from `first` on; None where there are none."""
    driver = connection.connection.driver_connection
    assert driver is not None
    given = {"run": asked.run_id, "series": asked.series_id, "first": first, "last": last, "rows": rows}
    found: int | None = driver.execute(NEXT, given).fetchone()[0]
    return None if found is None else min(found, last)


def buckets(
    connection: Connection, asked: Sequence[Asked], level: int, first: int, last: int, wanted: Sequence[str] = COLUMNS
) -> Buckets:
    """Every bucket of `level` that a step between `first` and `last` lies in, whole."""
    first, last = (first >> level) << level, (((last >> level) + 1) << level) - 1
    look = _from_points if level < BASE else _from_stored
    nothing = np.empty(0, np.int64)
    sizes, columns = np.zeros(len(asked) + 1, np.int64), list[dict[str, Column]]()
    exact = True
    none = bucketed(nothing, np.empty(0), level, nothing)
    for reduced, owner in chain(look(connection, asked, level, first, last), [none]):
        sizes[1:] += np.bincount(owner, minlength=len(asked))
        columns.append({name: getattr(reduced, name) for name in wanted})
        exact = exact and reduced.exact
    found = {name: np.concatenate([each[name] for each in columns]) for name in wanted}
    return Buckets(level, found, np.cumsum(sizes), exact)


Found = Iterator[tuple[Reduced, Counts]]  # by owner, in portions


def _from_points(connection: Connection, asked: Sequence[Asked], level: int, first: int, last: int) -> Found:
    rows = _rows(connection, POINTS, asked, first=first, last=last)
    for portion in _portions([(row[0], row[4]) for row in rows]):
        (some,) = portion.of([rows])
        steps, values, owner = _points(some, first, last)
        yield bucketed(steps, values, level, owner)


def _points(rows: Sequence[Any], first: int, last: int) -> tuple[Steps, Values, Counts]:
    read = [(owner, *unpack_between(first, last, *fields)) for owner, *fields in rows]
    if not read:
        return np.empty(0, np.int64), np.empty(0), np.empty(0, np.int64)
    owners, at, what = zip(*read, strict=True)
    whose = np.repeat(np.array(owners, np.int64), [len(steps) for steps in at])
    steps, values = np.concatenate(at), np.concatenate(what)
    if ((steps[1:] > steps[:-1]) | (whose[1:] != whose[:-1])).all():
        return steps, values, whose
    order = np.lexsort((steps, whose))  # a later attempt's rows may come before an earlier one's
    return steps[order], values[order], whose[order]


def _from_stored(connection: Connection, asked: Sequence[Asked], level: int, first: int, last: int) -> Found:
    window = {"first": first, "last": last, "level": level}
    used = tiers(level)
    tiles = _rows(connection, TILES, asked, tiers=used, above=[*used[1:], 0], **window) if used else []
    covered = UNDER[used[0] if used else 0]
    stored = _rows(connection, STORED.format(covered=covered), asked, **window)
    plain = _rows(connection, PLAIN.format(covered=covered), asked, **window)
    sizes = [(row[0], len(row[-1]) // 16) for row in (*tiles, *stored)] + [(row[0], row[4]) for row in plain]
    for portion in _portions(sorted(sizes)):
        some_tiles, some_stored, some_plain = portion.of([tiles, stored, plain])
        rows = [Row(*row) for row in some_tiles] + [Row(row[0], BASE, *row[1:]) for row in some_stored]
        parts = unpack_buckets(rows) + chunk_pieces([ChunkRow(*row) for row in some_plain], level)
        reduced, owner = together(parts)
        inside = (reduced.first_step >= first) & (reduced.last_step <= last)
        if not inside.all():
            reduced, owner = taken(reduced, inside), owner[inside]
        yield regroup(reduced, level, owner)


@dataclass(frozen=True)
class Portion:
    """Some owners, first <= owner < end: arrays that stay in the processor's cache take a third of the time."""

    first: int
    end: int

    def of(self, tables: Sequence[Sequence[Any]]) -> list[Sequence[Any]]:
        """Their rows; each table is sorted by owner, which stands in front."""
        return [
            rows[bisect_left(rows, self.first, key=itemgetter(0)) : bisect_left(rows, self.end, key=itemgetter(0))]
            for rows in tables
        ]


def _portions(sizes: Sequence[tuple[int, int]]) -> Iterator[Portion]:
    """Of (owner, numbers), sorted by owner."""
    begin, filled = (sizes[0][0] if sizes else 0), 0
    for owner, size in sizes:
        if filled > PORTION and owner > begin:
            yield Portion(begin, owner)
            begin, filled = owner, 0
        filled += size
    if sizes:
        yield Portion(begin, sizes[-1][0] + 1)


def _rows(connection: Connection, query: str, asked: Sequence[Asked], **window: int | list[int]) -> list[Any]:
    given = window | {"runs": [each.run_id for each in asked], "series": [each.series_id for each in asked]}
    return rows(connection, query, given)


def _bounds(owner: npt.NDArray[np.int64], series: int) -> Counts:
    return np.searchsorted(owner, np.arange(series + 1)).astype(np.int64)
