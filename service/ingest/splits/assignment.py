"""Which part each row is in: arithmetic over the values of a column."""

import math
from pathlib import Path

import numpy as np
import numpy.typing as npt

from service.ingest.splits.column_values import Labels, Times, invalid_split, read_labels, read_times
from service.spec.datasets.report import Format, Reading
from service.spec.datasets.splits import PART_NAMES, ColumnSplit, GroupSplit, TimeSplit
from service.spec.validation_errors import sanitise

PARTS = ("train", "validation", "test")
TRAIN, VALIDATION, TEST = range(3)
Parts = npt.NDArray[np.int8]  # (N,): the number of each row's part
Mask = npt.NDArray[np.bool_]
ColumnSplits = ColumnSplit | TimeSplit | GroupSplit


def assign_parts(
    content: Path,
    kind: Format,
    reading: Reading,
    split: ColumnSplits,
    shares: tuple[float, float],
    seed: int,
    complete: Mask | None = None,
) -> Parts:
    """Return the part of each row, or of each `complete` row; raise `Invalid` where the column cannot split them.

    `shares`: of the validation and of the test part.
    """
    if isinstance(split, TimeSplit):
        times = read_times(content, kind, reading, split.column)
        return by_time(times if complete is None else times[complete], shares)
    labels = read_labels(content, kind, reading, split.column)
    if complete is not None:
        labels = _only(labels, complete)
    if isinstance(split, ColumnSplit):
        return by_name(labels, split.column)
    return by_group(labels, shares, seed, split.column)


def by_name(labels: Labels, column: str) -> Parts:
    """Return the parts that the labels name."""
    named = [PART_NAMES.get(name.lower()) for name in labels.names]
    if unknown := [name for name, part in zip(labels.names, named, strict=True) if part is None]:
        detail = f"the column {column} has the value {unknown[0]}: each row needs train, validation (val) or test."
        raise invalid_split("unknown_part", sanitise(detail))
    return np.array([PARTS.index(str(part)) for part in named], np.int8)[labels.rows]


def by_time(times: Times, shares: tuple[float, float]) -> Parts:
    """Return the last rows as test, those before them as validation; equal times stay in the order of the rows."""
    rows = len(times)
    validation, test = (round(rows * share) for share in shares)
    parts = np.full(rows, TRAIN, np.int8)
    order = np.argsort(times, kind="stable")
    parts[order[rows - test - validation : rows - test]] = VALIDATION
    parts[order[rows - test :]] = TEST
    return parts


def by_group(labels: Labels, shares: tuple[float, float], seed: int, column: str) -> Parts:
    """Draw the groups of the test part, then those of the validation part, as scikit-learn's GroupShuffleSplit does."""
    groups = len(labels.names)
    validation, test = (math.ceil(groups * share) for share in shares)
    if groups - validation - test < 1:
        taken = " and ".join(f"{n} for {part}" for n, part in ((validation, "validation"), (test, "test")) if n)
        detail = f"the column {column} has {groups} groups, and the shares take {taken}: none is left to train on."
        raise invalid_split("too_few_groups", f"{detail} Lower /dataset/validation or /dataset/test, or split by rows.")
    order = np.random.RandomState(seed).permutation(groups)
    part_of = np.full(groups, TRAIN, np.int8)
    part_of[order[:test]] = TEST
    part_of[order[test : test + validation]] = VALIDATION
    return part_of[labels.rows]


def _only(labels: Labels, complete: Mask) -> Labels:
    """Return the labels of the complete rows, without those that no such row has."""
    present, rows = np.unique(labels.rows[complete], return_inverse=True)
    return Labels(tuple(labels.names[at] for at in present), rows.astype(np.int64))
