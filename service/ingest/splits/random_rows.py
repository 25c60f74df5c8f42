"""Rows drawn at random for each part, stratified by class.

A row's part depends on `split_seed` only, through numpy's legacy generator, whose stream never changes.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from service.ingest.splits.folds import draw_folds
from service.spec.datasets.base import TableBase

Indices = npt.NDArray[np.integer]  # four bytes a row where drawn: eight take as much as two of float32
NONE = 3  # the code of a row that is in no part
BLOCK = 2**20  # rows at once


def shuffle_share(target_rows: Indices, share: float, seed: int) -> Indices:
    """Return `target_rows` with a random share of them shuffled."""
    draw, dealt = np.random.RandomState(seed), target_rows.copy()
    places = draw.permutation(len(target_rows))[: round(share * len(target_rows))]
    dealt[places] = target_rows[draw.permutation(places)]
    return dealt


def table_parts(y: npt.NDArray[Any], dataset: TableBase, fold: int) -> tuple[Indices, ...]:
    """Split at random, except the last rows, which the dataset itself reserves for validation and then for testing."""
    own = dataset.reserved_validation_rows, dataset.reserved_test_rows
    counts = dataset.counts[0], dataset.counts[1] - own[0], dataset.counts[2] - own[1]
    drawn, folds = sum(counts), dataset.folds
    if folds is not None:
        counts = drawn - counts[2], 0, counts[2]
    train, validation, test = stratified_indices(y[:drawn], counts, dataset.split_seed, dataset.strata)
    if folds is not None:
        held_out = draw_folds(y[train], folds, dataset.split_seed, dataset.strata) == fold
        train, validation = train[~held_out], train[held_out]
    reserved = np.split(np.arange(drawn, len(y), dtype=np.int32), [own[0]])
    return train, np.concatenate((validation, reserved[0])), np.concatenate((test, reserved[1]))


def stratified_indices(
    y: npt.NDArray[Any], counts: tuple[int, int, int], seed: int, classes: int
) -> tuple[Indices, ...]:
    """Return the row numbers of the training, validation and test split; `classes` 0: not stratified."""
    codes = _draw_codes(y, counts, seed, classes)  # what else it takes is gone before the parts take memory
    return tuple(_rows_of(codes, part) for part in range(3))


def _draw_codes(y: npt.NDArray[Any], counts: tuple[int, int, int], seed: int, classes: int) -> npt.NDArray[np.int8]:
    """Return the position of each row's part."""
    order = np.arange(len(y), dtype=np.int32)
    np.random.RandomState(seed).shuffle(order)  # as permutation(len(y)) does
    groups = [order[y[order] == label] for label in range(classes)] if classes else [order]
    sizes = [len(group) for group in groups]
    test = apportion(sizes, counts[2])
    validation = apportion([size - taken for size, taken in zip(sizes, test, strict=True)], counts[1])
    codes = np.full(len(y), NONE, np.int8)
    for group, for_test, for_validation in zip(groups, test, validation, strict=True):
        pieces = np.split(group, [for_test, for_test + for_validation])
        for part, piece in enumerate((pieces[2], pieces[1], pieces[0])):
            for start in range(0, len(piece), BLOCK):  # numpy makes eight bytes of each number that it looks up
                codes[piece[start : start + BLOCK]] = part
    return codes


def _rows_of(codes: npt.NDArray[np.int8], part: int) -> npt.NDArray[np.int32]:
    """Return the row numbers of a part, in order."""
    found, filled = np.empty(np.count_nonzero(codes == part), np.int32), 0
    for start in range(0, len(codes), BLOCK):
        rows = np.flatnonzero(codes[start : start + BLOCK] == part)
        found[filled : filled + len(rows)] = rows + start
        filled += len(rows)
    return found


def apportion(sizes: list[int], total: int) -> list[int]:
    """Split `total` in proportion to `sizes` by largest remainder; at least one each if possible."""
    ideal = [total * size / sum(sizes) for size in sizes]
    least = 1 if total >= len(sizes) else 0
    given = [max(int(share), least) for share in ideal]
    while sum(given) < total:
        given[_argmax([want - has for want, has in zip(ideal, given, strict=True)])] += 1
    while sum(given) > total:
        spare = [has - want if has > least else -np.inf for want, has in zip(ideal, given, strict=True)]
        given[_argmax(spare)] -= 1
    return given


def _argmax(values: list[float]) -> int:
    return values.index(max(values))
