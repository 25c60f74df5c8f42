"""Rows of chunks as buckets: from their stored buckets, from the values, or from the row's own summary."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from service.analysis.reduce import Reduced, singles
from service.db.metrics.buckets import Pieces, Row, unpack_buckets
from service.db.metrics.codec import BASE, unpack


class ChunkRow(NamedTuple):
    """What is read of a chunk: `buckets`, or else `values`, or neither where the summary is all that is wanted."""

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


def chunk_pieces(rows: Sequence[ChunkRow], level: int) -> list[Pieces]:
    """The rows' buckets, none wider than 2^level steps."""
    stored = [Row(r.owner, BASE, r.first_step, r.last_step, r.buckets) for r in rows if r.buckets is not None]
    parts = unpack_buckets(stored)
    raw = [row for row in rows if row.values is not None]
    if raw:
        parts.append(_points(raw))
    alone = [row for row in rows if row.buckets is None and row.values is None]
    if alone:
        parts.append(_summaries(alone, level))
    return parts


def _points(rows: Sequence[ChunkRow]) -> Pieces:
    read = [unpack(r.first_step, r.last_step, r.every, r.n, r.values or b"", r.steps) for r in rows]
    steps, values = zip(*read, strict=True)
    sizes = np.array([row.n for row in rows], np.int64)
    owner = np.repeat(np.array([row.owner for row in rows], np.int64), sizes)
    return Pieces(singles(np.concatenate(steps), np.concatenate(values)), owner, sizes)


def _summaries(rows: Sequence[ChunkRow], level: int) -> Pieces:
    steps = np.array([(r.first_step, r.last_step, r.n, r.nonfinite, r.owner) for r in rows], np.int64).T
    values = np.array([(r.min, r.max, r.mean, r.last) for r in rows], np.float64).T  # None becomes NaN
    buckets = Reduced(level, steps[0], steps[1], values[0], values[1], values[2], values[3], steps[2], steps[3])
    return Pieces(buckets, steps[4], np.ones(len(rows), np.int64))
