"""Which part each row is in: arithmetic over the values of a column."""

import math
from pathlib import Path

import numpy as np
import numpy.typing as npt

from service.ingest.splits.column_values import Labels, Times, invalid_split, read_labels, read_times
from service.ingest.splits.folds import deal_groups
from service.spec.datasets.report import Format, Reading
from service.spec.datasets.splits import PART_NAMES, PARTS, ColumnSplit, GroupSplit, TimeSplit
from service.spec.validation_errors import sanitise

TRAIN, VALIDATION, TEST, FIRST_FOLD = range(4)
Parts = npt.NDArray[np.int8]  # (N,): the number of each row's part; with folds TEST, or FIRST_FOLD + its fold
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
    folds: int | None = None,
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
    if folds is not None:
        return by_group_folds(labels, shares[1], seed, split.column, folds)
    return by_group(labels, shares, seed, split.column)


def parts_of_fold(parts: Parts, fold: int) -> Parts:
    """Return the parts of a run that validates on this fold; without folds the parts as they are."""
    if not (parts >= FIRST_FOLD).any():
        return parts
    held_out = np.where(parts == FIRST_FOLD + fold, VALIDATION, TRAIN)
    return np.where(parts == TEST, TEST, held_out).astype(np.int8)


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
        count = "1 group" if groups == 1 else f"{groups} groups"
        detail = f"the column {column} has {count}, and the shares take {taken}: none is left to train on."
        raise invalid_split("too_few_groups", f"{detail} Lower /dataset/validation or /dataset/test, or split by rows.")
    order = np.random.RandomState(seed).permutation(groups)
    part_of = np.full(groups, TRAIN, np.int8)
    part_of[order[:test]] = TEST
    part_of[order[test : test + validation]] = VALIDATION
    return part_of[labels.rows]


def by_group_folds(labels: Labels, test: float, seed: int, column: str, folds: int) -> Parts:
    """Draw the groups of the test part, and deal the others into folds, as scikit-learn's GroupKFold does."""
    groups = len(labels.names)
    held_out = math.ceil(groups * test)
    if groups - held_out < folds:
        count = "1 group" if groups == 1 else f"{groups} groups"
        held = f", of which the test takes {held_out}" if held_out else ""
        detail = f"the column {column} has {count}{held}: too few for {folds}"
        raise invalid_split("too_few_groups", f"{detail} folds. Lower /dataset/folds or /dataset/test.")
    in_test = np.isin(labels.rows, np.random.RandomState(seed).permutation(groups)[:held_out])
    parts = np.full(len(labels.rows), TEST, np.int8)
    parts[~in_test] = FIRST_FOLD + deal_groups(labels.rows[~in_test], folds)
    return parts


def _only(labels: Labels, complete: Mask) -> Labels:
    """Return the labels of the complete rows, without those that no such row has."""
    present, rows = np.unique(labels.rows[complete], return_inverse=True)
    return Labels(tuple(labels.names[at] for at in present), rows.astype(np.int64))
