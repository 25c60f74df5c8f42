"""Range queries: any window of any series at any resolution, from the coarsest rows that are fine enough.

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
from service.analysis.reduce import COLUMNS, Reduced, bucket_points, regroup, take_buckets
from service.db.metrics.codec import BASE_LEVEL, unpack_between
from service.db.metrics.rollup_codec import PackedBuckets, join_in_order, unpack_buckets
from service.db.metrics.rollups import FIRST_LEVEL, SIDE_LEVELS, ChunkRow, levels_read, unpack_chunks
from service.db.metrics.visible import is_visible, own, visible_chunks
from service.db.session import Connection, fetch_binary

SERIES = "FROM unnest(%(runs)s::text[], %(series)s::bigint[]) WITH ORDINALITY AS u(run_id, series_id, owner)"
COVERED = f"""coalesce((SELECT t.last_step FROM metric_tile t
    WHERE {own("t")} AND t.level = {{level}} AND {is_visible("t.last_step")}
    ORDER BY t.first_step DESC LIMIT 1), -1) + 1"""
SPANS_BUCKETS = "(c.first_step >> %(level)s) <> (c.last_step >> %(level)s)"
HAS_BUCKETS = f"(c.buckets IS NOT NULL AND {SPANS_BUCKETS})"
POINTS = f"""
    SELECT u.owner - 1, c.first_step, c.last_step, c.every, c.n, c.values, c.steps
    {SERIES} {visible_chunks("%(first)s", "%(last)s")} ORDER BY u.owner
"""
TILES = f"""
    SELECT u.owner - 1, c.level, c.first_step, c.last_step, c.buckets
    {SERIES} CROSS JOIN unnest(%(levels)s::int[], %(above)s::int[]) AS tile(level, above)
    {
    visible_chunks(
        "%(first)s",
        "%(last)s",
        table="metric_tile",
        tier="AND {}.level = tile.level",
        covered=f"CASE WHEN tile.above > 0 THEN {COVERED.format(level='tile.above')} ELSE 0 END",
    )
} ORDER BY u.owner
"""


def _bucket_query(covered: str) -> str:
    """Return the statement that reads chunks' own buckets of the steps beyond `covered`."""
    return f"""
    SELECT u.owner - 1, c.first_step, c.last_step, c.buckets
    {SERIES} {visible_chunks("%(first)s", "%(last)s", covered=covered, condition=HAS_BUCKETS)} ORDER BY u.owner
    """


def _value_query(covered: str) -> str:
    """Return the statement that reads the other chunks: their values, or only their summaries inside one bucket."""
    return f"""
    SELECT u.owner - 1, c.first_step, c.last_step, c.every, c.n, c.min, c.max, c.mean, c.last, c.nonfinite, NULL,
        CASE WHEN {SPANS_BUCKETS} THEN c.values END, CASE WHEN {SPANS_BUCKETS} THEN c.steps END
    {SERIES} {visible_chunks("%(first)s", "%(last)s", covered=covered, condition=f"NOT {HAS_BUCKETS}")} ORDER BY u.owner
    """


LOWEST_TILES = (0, BASE_LEVEL + SIDE_LEVELS, FIRST_LEVEL)  # the lowest level of tiles that a query reads; 0: none
COVERED_BY = {level: COVERED.format(level=level) if level else "0" for level in LOWEST_TILES}
BUCKETS = {level: _bucket_query(covered) for level, covered in COVERED_BY.items()}
VALUES = {level: _value_query(covered) for level, covered in COVERED_BY.items()}
Column = npt.NDArray[np.float64] | npt.NDArray[np.int64]
BATCH_NUMBERS = 16_384  # numbers worked on at once


@dataclass(frozen=True)
class SeriesKey:
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


def points(connection: Connection, asked: Sequence[SeriesKey], first: int, last: int) -> Points:
    """Return the visible points with first <= step <= last, exactly."""
    rows = _rows(connection, POINTS, asked, first=first, last=last)
    steps, values, owner = _points(rows, first, last)
    return Points(steps, values, np.searchsorted(owner, np.arange(len(asked) + 1)).astype(np.int64))


PAGE_END = f"""
    SELECT max(x.last_step) FROM (
        SELECT c.last_step FROM (SELECT %(run)s AS run_id, %(series)s::bigint AS series_id) u
        {visible_chunks("%(first)s", "%(last)s")} ORDER BY c.first_step LIMIT %(chunks)s) x
"""


def page_end(connection: Connection, asked: SeriesKey, first: int, last: int, chunks: int) -> int | None:
    """Return the last step of the next `chunks` chunks from `first` on; None where there are none."""
    given = {"run": asked.run_id, "series": asked.series_id, "first": first, "last": last, "chunks": chunks}
    found: int | None = fetch_binary(connection, PAGE_END, given)[0][0]
    return None if found is None else min(found, last)


def buckets(
    connection: Connection,
    asked: Sequence[SeriesKey],
    level: int,
    first: int,
    last: int,
    wanted: Sequence[str] = COLUMNS,
) -> Buckets:
    """Return every bucket of `level` that holds a step from `first` to `last`, whole."""
    first, last = (first >> level) << level, (((last >> level) + 1) << level) - 1
    look = _from_points if level < BASE_LEVEL else _from_stored
    nothing = np.empty(0, np.int64)
    sizes, columns = np.zeros(len(asked) + 1, np.int64), list[dict[str, Column]]()
    exact = True
    none = bucket_points(nothing, np.empty(0), level, nothing)
    for reduced, owner in chain(look(connection, asked, level, first, last), [none]):
        sizes[1:] += np.bincount(owner, minlength=len(asked))
        columns.append({name: getattr(reduced, name) for name in wanted})
        exact = exact and reduced.exact
    found = {name: np.concatenate([each[name] for each in columns]) for name in wanted}
    return Buckets(level, found, np.cumsum(sizes), exact)


Found = Iterator[tuple[Reduced, Counts]]  # by owner, in portions


def _from_points(connection: Connection, asked: Sequence[SeriesKey], level: int, first: int, last: int) -> Found:
    rows = _rows(connection, POINTS, asked, first=first, last=last)
    for portion in _portions([(row[0], row[4]) for row in rows]):
        (some,) = portion.of([rows])
        steps, values, owner = _points(some, first, last)
        yield bucket_points(steps, values, level, owner)


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


def _from_stored(connection: Connection, asked: Sequence[SeriesKey], level: int, first: int, last: int) -> Found:
    window = {"first": first, "last": last, "level": level}
    levels = levels_read(level)
    lowest = levels[0] if levels else 0
    tiles = _rows(connection, TILES, asked, levels=levels, above=[*levels[1:], 0], **window) if levels else []
    stored = _rows(connection, BUCKETS[lowest], asked, **window)
    plain = _rows(connection, VALUES[lowest], asked, **window)
    sizes = [(row[0], len(row[-1]) // 16) for row in (*tiles, *stored)] + [(row[0], row[4]) for row in plain]
    for portion in _portions(sorted(sizes)):
        some_tiles, some_stored, some_plain = portion.of([tiles, stored, plain])
        rows = [PackedBuckets(*row) for row in some_tiles] + [
            PackedBuckets(row[0], BASE_LEVEL, *row[1:]) for row in some_stored
        ]
        parts = unpack_buckets(rows) + unpack_chunks([ChunkRow(*row) for row in some_plain], level)
        reduced, owner = join_in_order(parts)
        inside = (reduced.first_step >= first) & (reduced.last_step <= last)
        if not inside.all():
            reduced, owner = take_buckets(reduced, inside), owner[inside]
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
        if filled > BATCH_NUMBERS and owner > begin:
            yield Portion(begin, owner)
            begin, filled = owner, 0
        filled += size
    if sizes:
        yield Portion(begin, sizes[-1][0] + 1)


def _rows(connection: Connection, query: str, asked: Sequence[SeriesKey], **window: int | list[int]) -> list[Any]:
    given = window | {"runs": [each.run_id for each in asked], "series": [each.series_id for each in asked]}
    return fetch_binary(connection, query, given)
