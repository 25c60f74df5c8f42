"""From doubles on the disk to scaled rows in memory, in the run's float type: a group of columns at a time.

The scale and every row are what they are with all doubles in memory, to the last bit: a column's sums are added in the
same order, and a value's conversion concerns no other.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from service.spec.datasets.base import TableBase
from worker.trainer.data.doubles.column_file import ColumnFile, Doubles
from worker.trainer.data.scaling import Floats, ReadBlock, Scale, coarse_columns, fit_scale, pieces
from worker.trainer.numerics import float_type
from worker.trainer.prepare.preparation import Preparation

Indices = npt.NDArray[np.integer]


class Narrowed(NamedTuple):
    """The features of each part, views of one array, and what was fitted on the first of them."""

    parts: Sequence[Floats]
    scale: Scale | None
    coarse: list[int]  # columns of those that stay unscaled
    preparation: Preparation | None


def narrow(stored: ColumnFile, parts: Sequence[Indices], dataset: TableBase) -> Narrowed:
    """Prepare, scale and convert the rows of each part."""
    preparation = _fit(stored, parts[0], dataset) if dataset.prepare else None
    if preparation is not None:
        stored = _prepare(stored, preparation)
    rows = np.empty((sum(map(len, parts)), stored.groups[-1].stop), float_type())
    scales: list[Scale] = []
    coarse: list[int] = []
    for group in stored.groups:
        block = stored.read_group(group)
        take = _training_rows(block, parts[0], stored)
        scale = fit_scale(dataset.scaling, take, len(parts[0]))
        if scale is None:
            coarse += [group.start + at for at in coarse_columns(take, len(parts[0])) if at < len(group)]
        else:
            scale = Scale(*(each[: len(group)] for each in scale))
            if preparation is not None:
                scale = scale.without(preparation.unscaled.ravel()[group.start : group.stop])
            scales.append(scale)
        _convert(block, parts, scale, rows[:, group.start : group.stop])
        del block, take  # before the next is read
    each_part = np.split(rows.reshape(len(rows), *stored.shape[1:]), np.cumsum([len(part) for part in parts])[:-1])
    return Narrowed(each_part, _join(scales, stored.shape[1:]), coarse, preparation)


def _fit(stored: ColumnFile, training: Indices, dataset: TableBase) -> Preparation:
    def read(chosen: range) -> Doubles:
        return stored.columns(chosen)[training]

    return Preparation.fit(dataset.planned, read, len(training), stored.shape[1:], max(map(len, stored.groups)))


def _prepare(stored: ColumnFile, preparation: Preparation) -> ColumnFile:
    """Return the prepared rows, in a file of their own."""
    prepared = ColumnFile(stored.folder, (len(stored), *preparation.shape))
    for rows in pieces(stored.shape, 0, len(stored)):
        prepared[rows] = preparation.apply(stored[rows])
    return prepared


def _training_rows(block: Doubles, training: Indices, stored: ColumnFile) -> ReadBlock:
    """Return the reader of a group's training rows; one column of several comes twice, for numpy adds one pairwise."""
    if block.shape[1] == 1 < stored.groups[-1].stop:
        return lambda piece: np.repeat(block[training[piece]], 2, axis=1)
    return lambda piece: block[training[piece]]


def _convert(block: Doubles, parts: Sequence[Indices], scale: Scale | None, out: Floats) -> None:
    """Write a group of columns of all parts, one part after the other."""
    first = 0
    for part in parts:
        for piece in pieces(block.shape, 0, len(part)):
            values = block[part[piece]]
            out[first + piece.start : first + piece.stop] = values if scale is None else scale.apply(values)
        first += len(part)


def _join(scales: Sequence[Scale], shape: Sequence[int]) -> Scale | None:
    """Return the scale of all columns from those of the groups; None where there is none."""
    if not scales:
        return None
    return Scale(*(np.concatenate(each).reshape(shape) for each in zip(*scales, strict=True)))
