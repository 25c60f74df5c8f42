"""Writing points: packed chunks, their summaries and rollups, all behind a run's fence.

A flush holds all points of the steps since the flush before, of every series: so one step is a reader's whole position.
A chunk never spans a checkpoint that a later attempt may start from: so a cut drops whole chunks.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, text

from service.analysis.arrays import Steps, Values
from service.analysis.result import final_stretch
from service.db.metrics import rollups
from service.db.metrics.codec import Chunk, merge, pack, unpack, unpack_between
from service.db.metrics.read import LAST_STEP, join, summaries
from service.db.metrics.visible import is_visible, visible_chunks
from service.db.session import fetch_binary

MERGED_POINTS = 4096  # points at which a merged chunk is closed

FIELDS = tuple(Chunk.__dataclass_fields__)
COLUMNS = """run_id, attempt, series_id, first_step, last_step, every, n, min, min_step, max, max_step, mean, last,
    nonfinite, values, steps, buckets"""
GIVEN = f"""
    unnest(%(run_id)s::text[], %(attempt)s::int[],
        %(series_id)b::bigint[], %(first_step)b::bigint[], %(last_step)b::bigint[],
        %(every)b::int[], %(n)b::int[], %(min)b::float8[], %(min_step)b::bigint[], %(max)b::float8[],
        %(max_step)b::bigint[], %(mean)b::float8[], %(last)b::float8[], %(nonfinite)b::int[],
        %(values)b::bytea[], %(steps)b::bytea[], %(buckets)b::bytea[]) AS g({COLUMNS})
"""
# one trip for the points of all series and their summaries; a chunk that is there already is not counted twice
APPEND = f"""
    WITH given AS (SELECT * FROM {GIVEN}),
    written AS (
        INSERT INTO metric_chunk ({COLUMNS})
        SELECT g.* FROM given g ON CONFLICT DO NOTHING RETURNING series_id)
    UPDATE series s SET n = s.n + g.n, nonfinite = s.nonfinite + g.nonfinite,
        last = g.last, last_step = g.last_step, first_step = LEAST(s.first_step, g.first_step),
        final = CASE WHEN s.id = ANY(%(averaged)b::bigint[]) THEN g.mean END,
        final_from = CASE WHEN s.id = ANY(%(averaged)b::bigint[]) THEN g.first_step END,
        min_step = CASE WHEN s.min IS NULL OR g.min < s.min THEN g.min_step ELSE s.min_step END,
        max_step = CASE WHEN s.max IS NULL OR g.max > s.max THEN g.max_step ELSE s.max_step END,
        min = LEAST(s.min, g.min), max = GREATEST(s.max, g.max)
    FROM given g JOIN written USING (series_id) WHERE s.id = g.series_id RETURNING s.id
"""  # noqa: S608  pieces of SQL
TAKE = """
    DELETE FROM metric_chunk c
    USING unnest(%(series_id)b::bigint[], %(first_step)b::bigint[]) AS g(series_id, first_step)
    WHERE c.run_id = %(run_id)s AND c.attempt = %(attempt)s
        AND c.series_id = g.series_id AND c.first_step = g.first_step
    RETURNING c.series_id, c.first_step, c.last_step, c.every, c.n, c.values, c.steps
"""
PUT_BACK = f"INSERT INTO metric_chunk ({COLUMNS}) SELECT * FROM {GIVEN} RETURNING series_id"  # noqa: S608  pieces of SQL
KNOWN = "SELECT run_id, name, id FROM series WHERE run_id = ANY(%(run_ids)s::text[])"
ADD_SERIES = """
    INSERT INTO series (run_id, name) SELECT * FROM unnest(%(run_ids)s::text[], %(names)s::text[])
    RETURNING run_id, name, id
"""
STRETCHES = f"""
    SELECT u.series_id, c.first_step, c.last_step, c.every, c.n, c.values, c.steps
    FROM (SELECT %(run_id)s::text AS run_id, series_id, first
        FROM unnest(%(series_id)s::bigint[], %(first)s::bigint[]) AS given(series_id, first)) u
    {visible_chunks("u.first", str(LAST_STEP))} ORDER BY u.series_id, c.first_step
"""  # noqa: S608  pieces of SQL
FINALISE = text(
    """
    UPDATE series s SET final = g.final, final_from = g.final_from
    FROM unnest(cast(:series_id AS bigint[]), cast(:final AS float8[]), cast(:final_from AS bigint[]))
        AS g(series_id, final, final_from)
    WHERE s.id = g.series_id
    """
)

RESUMMARISE = text(
    f"""
    UPDATE series s SET n = c.n, nonfinite = c.nonfinite, last = c.last,
        first_step = c.first_step, last_step = c.last_step, final = NULL, final_from = NULL,
        min = c.min, min_step = c.min_step, max = c.max, max_step = c.max_step
    FROM (
        SELECT s.id, coalesce(sum(v.n), 0) AS n, coalesce(sum(v.nonfinite), 0) AS nonfinite,
            min(v.first_step) AS first_step, max(v.last_step) AS last_step,
            (array_agg(v.last ORDER BY v.last_step DESC))[1] AS last,
            min(v.min) AS min, max(v.max) AS max,
            (array_agg(v.min_step ORDER BY v.min, v.min_step) FILTER (WHERE v.min IS NOT NULL))[1] AS min_step,
            (array_agg(v.max_step ORDER BY v.max DESC, v.max_step) FILTER (WHERE v.max IS NOT NULL))[1] AS max_step
        FROM series s
        LEFT JOIN (
            SELECT m.* FROM metric_chunk m JOIN attempt a USING (run_id, attempt)
            WHERE m.run_id = :run_id AND {is_visible("m.last_step")}
        ) v ON v.series_id = s.id
        WHERE s.run_id = :run_id GROUP BY s.id
    ) c
    WHERE s.id = c.id
    """  # noqa: S608  pieces of SQL
)


class NewChunk(NamedTuple):
    """A chunk to be written; of an averaged series the final value is for now the mean of it: see `finalise`."""

    run_id: str
    attempt: int
    series_id: int
    chunk: Chunk
    averaged: bool


def series_ids(connection: Connection, run_id: str, names: Sequence[str]) -> dict[str, int]:
    """The ids of a run's series, new ones made."""
    return series_ids_of_all(connection, {run_id: names})[run_id]


def series_ids_of_all(connection: Connection, names_by_run: Mapping[str, Iterable[str]]) -> dict[str, dict[str, int]]:
    """The ids of the series of several runs by name, new ones made."""
    known: dict[str, dict[str, int]] = {run_id: {} for run_id in names_by_run}
    for run_id, name, found in fetch_binary(connection, KNOWN, {"run_ids": list(known)}):
        known[run_id][name] = found
    missing = [(run, name) for run, names in names_by_run.items() for name in names if name not in known[run]]
    if missing:
        run_ids, names = zip(*missing, strict=True)
        for run_id, name, made in fetch_binary(connection, ADD_SERIES, {"run_ids": [*run_ids], "names": [*names]}):
            known[run_id][name] = made
    return known


def append(connection: Connection, new: Sequence[NewChunk]) -> None:
    """Write chunks of one or several runs; call it behind their fences. A chunk that is there already is left alone."""
    if not new:
        return
    averaged = [each.series_id for each in new if each.averaged]
    fetch_binary(connection, APPEND, {**_columns(new), "averaged": averaged})


def _columns(new: Sequence[NewChunk]) -> dict[str, list[Any]]:
    columns = {name: [getattr(each.chunk, name) for each in new] for name in FIELDS}
    return columns | {name: [getattr(each, name) for each in new] for name in ("run_id", "attempt", "series_id")}


def finalise(connection: Connection, run_id: str, names: Sequence[str]) -> None:
    """Write down the mean over the final stretch of these series of a run that has come to its end."""
    known = summaries(connection, [run_id], names)[run_id]
    firsts = {each.id: final_stretch(each.last_step) for each in known if each.last_step is not None}
    given = {"run_id": run_id, "series_id": list(firsts), "first": list(firsts.values())}
    parts: dict[int, list[tuple[Steps, Values]]] = {}
    for series_id, *fields in fetch_binary(connection, STRETCHES, given):
        parts.setdefault(series_id, []).append(unpack_between(firsts[series_id], LAST_STEP, *fields))
    found = {series_id: join(some) for series_id, some in parts.items()}
    chunks = {series_id: pack(curve.steps, curve.values) for series_id, curve in found.items() if len(curve.steps)}
    columns = {
        "series_id": list(chunks),
        "final": [chunk.mean for chunk in chunks.values()],
        "final_from": [chunk.first_step for chunk in chunks.values()],
    }
    connection.execute(FINALISE, columns)


def resummarise(connection: Connection, run_id: str) -> None:
    """Make the summaries anew from the chunks that are visible; after a cut."""
    connection.execute(RESUMMARISE, {"run_id": run_id})


def compact(connection: Connection, run_id: str, attempt: int, upto: int) -> None:
    """Join this attempt's neighbouring small chunks up to `upto`, the points stay equal; then grow the pyramid.

    Behind the fence. `upto` is a step no later attempt starts before, unless from the very beginning.
    """
    found = rollups.uncovered(connection, run_id, attempt, upto)
    groups = _small_neighbours([(piece.series_id, piece.first_step, piece.n) for piece in found])
    if groups:
        owners, starts = zip(*((series_id, start) for series_id, group in groups for start in group), strict=True)
        given = {"run_id": run_id, "attempt": attempt, "series_id": [*owners], "first_step": [*starts]}
        taken = {row[:2]: unpack(*row[1:]) for row in fetch_binary(connection, TAKE, given)}
        merged = [(series_id, merge([taken[series_id, start] for start in group])) for series_id, group in groups]
        new = [NewChunk(run_id, attempt, series_id, chunk, averaged=False) for series_id, chunk in merged]
        fetch_binary(connection, PUT_BACK, _columns(new))
    points = Counter[int]()
    for piece in found:
        points[piece.series_id] += piece.n
    if any(n >= MERGED_POINTS for n in points.values()):  # else no chunk is joined for good that was not before
        rollups.build(connection, run_id, attempt, upto, settled=MERGED_POINTS)


def _small_neighbours(sizes: Sequence[tuple[int, int, int]]) -> list[tuple[int, list[int]]]:
    """Runs of chunks side by side that together make one of MERGED points: (series id, their first steps)."""
    groups: list[tuple[int, list[int]]] = []
    filled = MERGED_POINTS  # how full the open group is; at MERGED the next chunk opens another
    for series_id, first_step, n in sizes:
        if n >= MERGED_POINTS:
            filled = MERGED_POINTS
        elif filled < MERGED_POINTS and groups[-1][0] == series_id:
            groups[-1][1].append(first_step)
            filled += n
        else:
            groups.append((series_id, [first_step]))
            filled = n
    return [group for group in groups if len(group[1]) > 1]
