"""The packed form of a row of buckets: what the pyramid stores above the values.

A row holds the buckets of one level (a bucket spans 2^level steps, anchored at step 0) from its first step to its
last. One format byte, then a record a bucket, little-endian and without gaps:

    0  constant  one float64 that every point equals; every step is there
    1  single    min, max, last float32, mean float64; every step is there, every value finite and a float32
    2  double    min, max, last, mean float64; every step is there, every value finite
    3  general   first_step, last_step int64, min, max, last, mean float64, count int64, nonfinite int64

In 0 to 2 steps and counts follow from the row's ends. min, max and last come back exactly, the mean to rounding.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from service.analysis.arrays import Counts, Steps, Values
from service.analysis.reduce import Reduced, join_buckets, take_buckets

CONSTANT, SINGLE, DOUBLE, GENERAL = 0, 1, 2, 3
EVEN = {
    SINGLE: np.dtype([("min", "<f4"), ("max", "<f4"), ("last", "<f4"), ("mean", "<f8")]),
    DOUBLE: np.dtype([("min", "<f8"), ("max", "<f8"), ("last", "<f8"), ("mean", "<f8")]),
}
GENERAL_RECORD = np.dtype(
    {
        "names": ["first_step", "last_step", "min", "max", "last", "mean", "count", "nonfinite"],
        "formats": ["<i8", "<i8", "<f8", "<f8", "<f8", "<f8", "<i8", "<i8"],
    }
)


@dataclass(frozen=True)
class PackedBuckets:
    """A stored row of buckets; `owner` is the reader's number for its series."""

    owner: int
    level: int
    first_step: int
    last_step: int
    buckets: bytes


def pack_buckets(reduced: Reduced) -> bytes:
    """At least one bucket, all of one series, in order."""
    first, last = int(reduced.first_step[0]), int(reduced.last_step[-1])
    if reduced.nonfinite.any() or int(reduced.count.sum()) != last - first + 1:
        return bytes([GENERAL]) + _records(reduced, GENERAL_RECORD)
    value = reduced.last[:1]
    if _same_bits(reduced.min, value) and _same_bits(reduced.max, value) and _same_bits(reduced.last, value):
        return bytes([CONSTANT]) + value.astype("<f8").tobytes()
    single = all(_is_single(column) for column in (reduced.min, reduced.max, reduced.last))
    code = SINGLE if single else DOUBLE
    return bytes([code]) + _records(reduced, EVEN[code])


def _records(reduced: Reduced, record: np.dtype[np.void]) -> bytes:
    table = np.empty(len(reduced.count), record)
    for name in record.names or ():
        table[name] = getattr(reduced, name)
    return table.tobytes()


def _same_bits(column: Values, value: Values) -> bool:
    """Bits, so that 0.0 and -0.0 stay two values."""
    return bool((column.view(np.int64) == value.view(np.int64)).all())


def _is_single(column: Values) -> bool:
    with np.errstate(over="ignore", under="ignore"):
        return bool((column.astype("<f4").astype(np.float64) == column).all())


@dataclass(frozen=True, eq=False)
class OwnedBuckets:
    """The buckets of many rows, row after row; `sizes` (R,) counts those of each row."""

    buckets: Reduced
    owner: Counts  # (N,)
    sizes: Counts


def join_in_order(parts: Sequence[OwnedBuckets]) -> tuple[Reduced, Counts]:
    """Return all buckets by owner, then by step. Rows share no step, so whole rows are sorted instead of buckets."""
    buckets = join_buckets([part.buckets for part in parts])
    owner = parts[0].owner if len(parts) == 1 else np.concatenate([part.owner for part in parts])
    sizes = np.concatenate([part.sizes for part in parts])
    heads = np.cumsum(sizes) - sizes
    order = np.lexsort((buckets.first_step[heads], owner[heads]))
    if (order[1:] > order[:-1]).all():
        return buckets, owner
    sizes, heads = sizes[order], heads[order]
    positions = np.repeat(heads - (np.cumsum(sizes) - sizes), sizes) + np.arange(len(owner))
    return take_buckets(buckets, positions), owner[positions]


def unpack_buckets(rows: Sequence[PackedBuckets]) -> list[OwnedBuckets]:
    """Return the buckets of many rows, each at its row's own level; one part for each format."""
    by_code: dict[int, list[PackedBuckets]] = {}
    for row in rows:
        by_code.setdefault(row.buckets[0], []).append(row)
    return [_unpack(code, some) for code, some in by_code.items()]


def _unpack(code: int, rows: list[PackedBuckets]) -> OwnedBuckets:
    owner = np.array([row.owner for row in rows], np.int64)
    if code == GENERAL:
        table = np.frombuffer(b"".join([row.buckets[1:] for row in rows]), GENERAL_RECORD)
        sizes = np.array([(len(row.buckets) - 1) // GENERAL_RECORD.itemsize for row in rows], np.int64)
        columns = {name: np.ascontiguousarray(table[name]) for name in GENERAL_RECORD.names or ()}
        return OwnedBuckets(Reduced(level=rows[0].level, **columns), np.repeat(owner, sizes), sizes)
    first, last, sizes = _spans(rows)
    columns = dict(zip(("min", "max", "last", "mean"), _values(code, rows, sizes), strict=True))
    reduced = Reduced(
        level=rows[0].level,
        first_step=first,
        last_step=last,
        count=last - first + 1,
        nonfinite=np.zeros(len(first), np.int64),
        **columns,
    )
    return OwnedBuckets(reduced, np.repeat(owner, sizes), sizes)


def _values(code: int, rows: list[PackedBuckets], sizes: Counts) -> list[Values]:
    data = b"".join([row.buckets[1:] for row in rows])
    if code == CONSTANT:
        return [np.repeat(np.frombuffer(data, "<f8").astype(np.float64), sizes)] * 4
    if code not in EVEN:
        raise ValueError(f"These buckets have format code {code}; known are 0 to 3.")
    table = np.frombuffer(data, EVEN[code])
    if len(table) != sizes.sum():
        raise ValueError(f"These rows hold {len(table)} buckets; their steps say {int(sizes.sum())}.")
    return [table[name].astype(np.float64) for name in ("min", "max", "last", "mean")]


def _spans(rows: list[PackedBuckets]) -> tuple[Steps, Steps, Counts]:
    """First and last step of every bucket of rows that miss no step, and how many buckets each row has."""
    ends = np.array([(row.first_step, row.last_step, row.level) for row in rows], np.int64)
    begin, end, level = ends.T
    sizes: npt.NDArray[np.int64] = (end >> level) - (begin >> level) + 1
    starts = np.cumsum(sizes) - sizes
    levels = np.repeat(level, sizes)
    number = np.repeat((begin >> level) - starts, sizes) + np.arange(int(sizes.sum()))
    first, last = number << levels, ((number + 1) << levels) - 1
    first[starts] = begin
    last[starts + sizes - 1] = end
    return first, last, sizes
