"""Rollups: tiles of wider buckets above the chunks, so a zoomed-out view of a long run reads few rows.

A tile of level 8 holds the 256-step buckets of some chunks side by side, one of level 12 those of some tiles of
level 8, and so on by FANOUT levels. Half-way between two tiers lies a side tier (6 made of chunks, 10 of tiles of level
8, ...), on which nothing is built: a view that needs 128-step buckets reads a quarter of the bytes that chunks hold.
Tiles are made when chunks are joined, of chunks that are joined for good, and from each attempt's beginning without
gaps; what is not covered yet is read a tier below. A tile belongs to its attempt and ends at its last step, just as a
chunk: one rule decides what a cut leaves visible.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from sqlalchemy import Connection, insert, text

from service.analysis.reduce import Reduced, regroup, single_point_buckets
from service.db.metrics.codec import BASE_LEVEL, unpack
from service.db.metrics.rollup_codec import OwnedBuckets, PackedBuckets, join_in_order, pack_buckets, unpack_buckets
from service.db.tables import metric_tile

FANOUT = 4  # levels between two tiers: a bucket is made of 16
SIDE_LEVELS = 2  # levels from a tier to the side tier above it
TILE_BUCKETS = 256  # buckets at which a tile is closed
FIRST_LEVEL = BASE_LEVEL + FANOUT


@dataclass(frozen=True)
class Piece:
    """A chunk or tile that no tile of the next level covers yet."""

    series_id: int
    first_step: int
    last_step: int
    n: int


UNCOVERED = """
    SELECT s.id, c.first_step, c.last_step, c.n
    FROM series s
    CROSS JOIN LATERAL (SELECT coalesce(max(t.last_step), -1) AS upto FROM metric_tile t
        WHERE t.run_id = s.run_id AND t.series_id = s.id AND t.attempt = :attempt AND t.level = :above) covered
    JOIN {table} c ON c.run_id = s.run_id AND c.series_id = s.id AND c.attempt = :attempt
        AND c.first_step > covered.upto AND {condition}
    WHERE s.run_id = :run_id ORDER BY s.id, c.first_step
"""
CHUNKS = text(UNCOVERED.format(table="metric_chunk", condition="c.last_step <= :upto"))
TILES = text(UNCOVERED.format(table="metric_tile", condition="c.level = :level"))
CHUNK_ROWS = text(
    """
    SELECT 0 AS owner, first_step, last_step, every, n, min, max, mean, last, nonfinite, buckets,
        CASE WHEN buckets IS NULL THEN values END AS values, CASE WHEN buckets IS NULL THEN steps END AS steps
    FROM metric_chunk
    WHERE run_id = :run_id AND series_id = :series_id AND attempt = :attempt AND first_step BETWEEN :first AND :last
    ORDER BY first_step
    """
)
TILE_ROWS = text(
    """
    SELECT 0 AS owner, level, first_step, last_step, buckets FROM metric_tile
    WHERE run_id = :run_id AND series_id = :series_id AND attempt = :attempt AND level = :level
        AND first_step BETWEEN :first AND :last
    ORDER BY first_step
    """
)


def uncovered(connection: Connection, run_id: str, attempt: int, upto: int) -> list[Piece]:
    """Return the attempt's chunks up to `upto` that no tile covers: those that can still be merged."""
    return _chunks(connection, run_id, attempt, upto, FIRST_LEVEL)


def _chunks(connection: Connection, run_id: str, attempt: int, upto: int, above: int) -> list[Piece]:
    rows = connection.execute(CHUNKS, {"run_id": run_id, "attempt": attempt, "upto": upto, "above": above})
    return [Piece(*row) for row in rows]


def levels_read(level: int) -> list[int]:
    """Return the levels of tiles that a view of this level reads, finest first; none below the side tier of chunks."""
    top = level - (level - BASE_LEVEL) % FANOUT
    side = [top + SIDE_LEVELS] if level >= top + SIDE_LEVELS else []
    return [*range(FIRST_LEVEL, top + 1, FANOUT), *side]


def build(connection: Connection, run_id: str, attempt: int, upto: int, settled: int) -> None:
    """Write every tile that is full. Chunks up to the last one of `settled` points are never merged again."""

    def made(level: int, found: Sequence[Piece]) -> bool:
        rows = [_make(connection, run_id, attempt, level, group) for group in _full(found, level)]
        if rows:
            connection.execute(insert(metric_tile), rows)
        return bool(rows)

    def below(level: int, above: int) -> list[Piece]:
        given = {"run_id": run_id, "attempt": attempt, "level": level, "above": above}
        return [Piece(*row) for row in connection.execute(TILES, given)]

    side = BASE_LEVEL + SIDE_LEVELS
    made(side, list(_settled(_chunks(connection, run_id, attempt, upto, side), settled)))
    level, found = FIRST_LEVEL, list(_settled(uncovered(connection, run_id, attempt, upto), settled))
    while made(level, found):
        made(level + SIDE_LEVELS, below(level, level + SIDE_LEVELS))
        level, found = level + FANOUT, below(level, level + FANOUT)


def _settled(pieces: Sequence[Piece], settled: int) -> Iterator[Piece]:
    ends = {piece.series_id: piece.last_step for piece in pieces if piece.n >= settled}
    return (piece for piece in pieces if piece.last_step <= ends.get(piece.series_id, -1))


def _full(pieces: Sequence[Piece], level: int) -> Iterator[list[Piece]]:
    """Yield groups of neighbours of one series that fill a tile; the rest waits for more points."""
    group: list[Piece] = []
    for piece in pieces:
        if group and group[0].series_id != piece.series_id:
            group = []
        group.append(piece)
        spans = (piece.last_step >> level) - (group[0].first_step >> level) + 1
        if min(spans, sum(each.n for each in group)) >= TILE_BUCKETS:
            yield group
            group = []


def _make(connection: Connection, run_id: str, attempt: int, level: int, group: Sequence[Piece]) -> dict[str, object]:
    own = {"run_id": run_id, "attempt": attempt, "series_id": group[0].series_id}
    where = own | {"first": group[0].first_step, "last": group[-1].last_step}
    if level <= FIRST_LEVEL:
        rows = [ChunkRow(*row) for row in connection.execute(CHUNK_ROWS, where)]
        parts = unpack_chunks(rows, level=BASE_LEVEL)
    else:
        below = connection.execute(TILE_ROWS, where | {"level": level - ((level - BASE_LEVEL) % FANOUT or FANOUT)})
        parts = unpack_buckets([PackedBuckets(*row) for row in below])
    buckets: Reduced = regroup(join_in_order(parts)[0], level)[0]
    return own | {
        "level": level,
        "first_step": group[0].first_step,
        "last_step": group[-1].last_step,
        "n": sum(piece.n for piece in group),
        "buckets": pack_buckets(buckets),
    }


class ChunkRow(NamedTuple):
    """What a query reads of a chunk: `buckets`, `values`, or neither where its summary suffices."""

    owner: int
    first_step: int
    last_step: int
    every: int
    n: int
    min: float | None
    max: float | None
    mean: float | None
    last: float
    nonfinite: int
    buckets: bytes | None
    values: bytes | None
    steps: bytes | None


def unpack_chunks(rows: Sequence[ChunkRow], level: int) -> list[OwnedBuckets]:
    """The rows' buckets, none wider than 2^level steps."""
    stored = [
        PackedBuckets(r.owner, BASE_LEVEL, r.first_step, r.last_step, r.buckets) for r in rows if r.buckets is not None
    ]
    parts = unpack_buckets(stored)
    raw = [row for row in rows if row.values is not None]
    if raw:
        parts.append(_points(raw))
    alone = [row for row in rows if row.buckets is None and row.values is None]
    if alone:
        parts.append(_summaries(alone, level))
    return parts


def _points(rows: Sequence[ChunkRow]) -> OwnedBuckets:
    read = [unpack(r.first_step, r.last_step, r.every, r.n, r.values or b"", r.steps) for r in rows]
    steps, values = zip(*read, strict=True)
    sizes = np.array([row.n for row in rows], np.int64)
    owner = np.repeat(np.array([row.owner for row in rows], np.int64), sizes)
    return OwnedBuckets(single_point_buckets(np.concatenate(steps), np.concatenate(values)), owner, sizes)


def _summaries(rows: Sequence[ChunkRow], level: int) -> OwnedBuckets:
    steps = np.array([(r.first_step, r.last_step, r.n, r.nonfinite, r.owner) for r in rows], np.int64).T
    values = np.array([(r.min, r.max, r.mean, r.last) for r in rows], np.float64).T  # None becomes NaN
    buckets = Reduced(level, steps[0], steps[1], values[0], values[1], values[2], values[3], steps[2], steps[3])
    return OwnedBuckets(buckets, steps[4], np.ones(len(rows), np.int64))
