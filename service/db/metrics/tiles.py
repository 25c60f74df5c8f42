"""Tiles: rows of wider buckets above the chunks, so that a far view of a long run reads few rows.

A tile of level 8 holds the 256-step buckets of some chunks side by side, one of level 12 those of some tiles of
level 8, and so on by FANOUT levels. Half-way between two tiers lies a side tier (6 made of chunks, 10 of tiles of level
8, ...), on which nothing is built: a view that needs 128-step buckets reads a quarter of the bytes that chunks hold.
Tiles are made when chunks are joined, of chunks that are joined for good, and from each attempt's beginning without
gaps; what is not covered yet is read a tier below. A tile belongs to its attempt and ends at its last step, just as a
chunk: one rule decides what a cut leaves visible.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, insert, text

from service.analysis.reduce import Reduced, regroup
from service.db.metrics.buckets import Row, pack_buckets, together, unpack_buckets
from service.db.metrics.codec import BASE
from service.db.metrics.rows import ChunkRow, chunk_pieces
from service.db.tables import metric_tile

FANOUT = 4  # levels between two tiers: a bucket is made of 16
SIDE = 2  # levels from a tier to the side tier above it
WIDE = 256  # buckets at which a tile is closed
FIRST = BASE + FANOUT


@dataclass(frozen=True)
class Piece:
    """A chunk or tile that no tile covers yet."""

    series_id: int
    first_step: int
    last_step: int
    n: int


CHUNKS = text(
    """
    SELECT s.id, c.first_step, c.last_step, c.n
    FROM series s
    CROSS JOIN LATERAL (SELECT coalesce(max(t.last_step), -1) AS upto FROM metric_tile t
        WHERE t.run_id = s.run_id AND t.series_id = s.id AND t.attempt = :attempt AND t.level = :above) covered
    JOIN metric_chunk c ON c.run_id = s.run_id AND c.series_id = s.id AND c.attempt = :attempt
        AND c.first_step > covered.upto AND c.last_step <= :upto
    WHERE s.run_id = :run_id ORDER BY s.id, c.first_step
    """
)
TILES = text(
    """
    SELECT s.id, c.first_step, c.last_step, c.n
    FROM series s
    CROSS JOIN LATERAL (SELECT coalesce(max(t.last_step), -1) AS upto FROM metric_tile t
        WHERE t.run_id = s.run_id AND t.series_id = s.id AND t.attempt = :attempt AND t.level = :above) covered
    JOIN metric_tile c ON c.run_id = s.run_id AND c.series_id = s.id AND c.attempt = :attempt AND c.level = :level
        AND c.first_step > covered.upto
    WHERE s.run_id = :run_id ORDER BY s.id, c.first_step
    """
)
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
    """The attempt's chunks up to `upto` that no tile covers: all that can still be joined."""
    return _chunks(connection, run_id, attempt, upto, FIRST)


def _chunks(connection: Connection, run_id: str, attempt: int, upto: int, above: int) -> list[Piece]:
    rows = connection.execute(CHUNKS, {"run_id": run_id, "attempt": attempt, "upto": upto, "above": above})
    return [Piece(*row) for row in rows]


def tiers(level: int) -> list[int]:
    """Those that a view of this level reads, the finest first; none below FIRST but the side tier of chunks."""
    top = level - (level - BASE) % FANOUT
    side = [top + SIDE] if level >= top + SIDE else []
    return [*range(FIRST, top + 1, FANOUT), *side]


def grow(connection: Connection, run_id: str, attempt: int, upto: int, settled: int) -> None:
    """Make every tile that is full. Chunks are joined for good up to the last one of `settled` points."""

    def made(level: int, found: Sequence[Piece]) -> bool:
        rows = [_make(connection, run_id, attempt, level, group) for group in _full(found, level)]
        if rows:
            connection.execute(insert(metric_tile), rows)
        return bool(rows)

    def below(level: int, above: int) -> list[Piece]:
        given = {"run_id": run_id, "attempt": attempt, "level": level, "above": above}
        return [Piece(*row) for row in connection.execute(TILES, given)]

    side = BASE + SIDE
    made(side, list(_settled(_chunks(connection, run_id, attempt, upto, side), settled)))
    level, found = FIRST, list(_settled(uncovered(connection, run_id, attempt, upto), settled))
    while made(level, found):
        made(level + SIDE, below(level, level + SIDE))
        level, found = level + FANOUT, below(level, level + FANOUT)


def _settled(pieces: Sequence[Piece], settled: int) -> Iterator[Piece]:
    ends = {piece.series_id: piece.last_step for piece in pieces if piece.n >= settled}
    return (piece for piece in pieces if piece.last_step <= ends.get(piece.series_id, -1))


def _full(pieces: Sequence[Piece], level: int) -> Iterator[list[Piece]]:
    """Neighbours of one series that fill a tile; the rest waits for more."""
    group: list[Piece] = []
    for piece in pieces:
        if group and group[0].series_id != piece.series_id:
            group = []
        group.append(piece)
        spans = (piece.last_step >> level) - (group[0].first_step >> level) + 1
        if min(spans, sum(each.n for each in group)) >= WIDE:
            yield group
            group = []


def _make(connection: Connection, run_id: str, attempt: int, level: int, group: Sequence[Piece]) -> dict[str, object]:
    own = {"run_id": run_id, "attempt": attempt, "series_id": group[0].series_id}
    where = own | {"first": group[0].first_step, "last": group[-1].last_step}
    if level <= FIRST:
        rows = [ChunkRow(*row) for row in connection.execute(CHUNK_ROWS, where)]
        parts = chunk_pieces(rows, level=BASE)
    else:
        below = connection.execute(TILE_ROWS, where | {"level": level - ((level - BASE) % FANOUT or FANOUT)})
        parts = unpack_buckets([Row(*row) for row in below])
    buckets: Reduced = regroup(together(parts)[0], level)[0]
    return own | {
        "level": level,
        "first_step": group[0].first_step,
        "last_step": group[-1].last_step,
        "n": sum(piece.n for piece in group),
        "buckets": pack_buckets(buckets),
    }
