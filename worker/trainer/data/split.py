"""The training, validation and test splits of a dataset, and their scaling.

A row's split depends on `split_seed` only, through numpy's legacy generator, whose stream never changes.
"""

import math
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from service.ingest.splits.random_rows import shuffle_share, table_parts
from service.spec.datasets import DatasetBase
from service.spec.datasets.base import RegressionBase, Scaling, TableBase
from service.spec.datasets.images import Images, ImagesBase
from service.spec.datasets.uploaded import Upload
from worker.trainer.build import build
from worker.trainer.data.column_split import split_parts
from worker.trainer.data.dataset_folders import NO_FOLDERS, DatasetFolders
from worker.trainer.data.doubles.column_file import ColumnFile
from worker.trainer.data.doubles.narrow import narrow
from worker.trainer.data.image_scaling import fit_channels
from worker.trainer.data.memory_mapped import MappedRows
from worker.trainer.data.scaling import (
    Scale,
    apply_scale,
    coarse_columns,
    fit_scale,
    pieces,
    release,
    to_float_type,
)
from worker.trainer.data.text_codec import TextCodec
from worker.trainer.prepare.preparation import FIT_SHARES, Preparation, prepared_type
from worker.trainer.prepare.target import TargetTransform

Arrays = tuple[Any, npt.NDArray[Any]]  # what a dataset's target returns: x (N, *shape), or in a file, and y (N, ...)
Indices = npt.NDArray[np.integer]
Values = npt.NDArray[Any] | MappedRows
CACHED_DATASETS = 8  # in memory
NO_ROWS = np.empty(0, np.float32)
GATHERS = 16  # to reorder the rows of an array
COMPARED = 2**16  # row numbers at once


class Split(NamedTuple):
    """x (N, *shape) floats and y (N,): int64 labels or floats; for a language both are int64 tokens (N, T)."""

    x: Values
    y: Values
    bytes: float = 0.0  # of a text that the targets stand for; 0: unknown
    numbers: Indices | None = None  # of its rows in the data as read, or in the part's own file, from 0; None: unknown


class Splits(NamedTuple):
    """The three disjoint splits, and what was fitted on the training split."""

    train: Split
    validation: Split
    test: Split
    scales: dict[str, Scale]  # "features", "target": only those that are scaled
    coarse: dict[str, list[int]]  # of the unscaled: columns whose values float32 can hardly tell apart
    preparation: Preparation | None = None
    target: TargetTransform | None = None
    codec: TextCodec | None = None  # of a language whose tokens can be written and read as text


_loaded: dict[tuple[Any, ...], Arrays] = {}


def load(dataset: DatasetBase, files: DatasetFolders = NO_FOLDERS) -> Arrays:
    """Return the dataset's unscaled rows, cached in the process: a reused trainer starts in milliseconds.

    An uploaded file is read and verified each time. Arrays larger than `files.resident_bytes` stay on disk.
    """
    if dataset.stored:
        return check_arrays(dataset, build(dataset, files))
    key = (dataset.target, *sorted(dataset.kwargs().items()))
    if key not in _loaded:
        x, y = check_arrays(dataset, build(dataset))
        x.flags.writeable = y.flags.writeable = False  # shared by every run of this process
        while len(_loaded) >= CACHED_DATASETS:
            del _loaded[next(iter(_loaded))]
        _loaded[key] = x, y
    return _loaded[key]


def check_arrays(dataset: DatasetBase, arrays: Arrays) -> Arrays:
    """Return the rows; raise `ValueError` if they contradict the facts, which a GPU would report late and vaguely."""
    facts, (x, y) = dataset.facts, arrays
    if x.shape != (facts.rows, *dataset.stored_shape) or len(x) != len(y):
        raise ValueError(f"{dataset.target} returned rows of shape {x.shape}, which its facts contradict")
    if facts.task == "classification":
        _check_range("label", y, facts.classes)
    elif facts.task == "language":
        for tokens in (x, y):
            _check_range("token", tokens, facts.vocabulary)
    return arrays


def _check_range(what: str, values: npt.NDArray[Any], count: int) -> None:
    """Raise `ValueError` unless all values are 0..count-1; arrays on disk are not read for it."""
    if isinstance(values, np.memmap) or not len(values) or 0 <= values.min() <= values.max() < count:
        return
    row = int(np.argwhere(~((values >= 0) & (values < count)))[0][0])
    found = values[row] if values.ndim == 1 else values[row].tolist()
    raise ValueError(f"row {row} has the {what} {found}, and the {count} {what}s are 0..{count - 1}")


def split_dataset(dataset: DatasetBase, files: DatasetFolders = NO_FOLDERS, fold: int = 0) -> Splits:
    """Return splits of `dataset.counts` rows, stratified by class and scaled by the training split.

    With folds, the validation split is this `fold`; other folds may have fewer rows than `counts` says, or more.
    """
    x, y = load(dataset, files)
    chosen: tuple[Indices, ...]
    target_rows: Indices | None = None  # the row whose target each row has; None: its own
    if isinstance(dataset, TableBase):
        if dataset.shuffled_targets:
            target_rows = shuffle_share(np.arange(len(y)), dataset.shuffled_targets, dataset.split_seed)
        if isinstance(dataset, Upload) and dataset.split_column:
            parts = split_parts(files, dataset, fold)
            chosen = tuple(np.flatnonzero(parts == part) for part in range(3))
        else:
            chosen = table_parts(y if target_rows is None else y[target_rows], dataset, fold)
    else:
        chosen = split_by_position(dataset.counts)
    targets = _select_rows(y, chosen if target_rows is None else [target_rows[rows] for rows in chosen])
    if isinstance(x, ColumnFile) and _prepared_is_large(dataset, len(x), files):
        x = x[:]
    if isinstance(x, ColumnFile):
        assert isinstance(dataset, TableBase), "doubles are features of a table"
        train, validation, test = (Split(NO_ROWS, part) for part in targets)  # narrowed last
        splits = _narrow(_scale_targets(Splits(train, validation, test, {}, {}), dataset), x, chosen, dataset)
    else:
        train, validation, test = map(Split, _select_rows(x, chosen), targets)
        splits = Splits(train, validation, test, {}, {})
        splits = _scale_targets(_scale_features(splits, dataset, files), dataset)
    train, validation, test = map(_to_float_type, splits[:3])
    of_file = isinstance(dataset, Upload | Images) and bool(dataset.part_uploads)
    train, validation, test = (
        part._replace(numbers=np.arange(len(rows)) if of_file else rows)
        for part, rows in zip((train, validation, test), chosen, strict=True)
    )
    return splits._replace(train=train, validation=validation, test=test)


def _narrow(splits: Splits, x: ColumnFile, chosen: Sequence[Indices], dataset: TableBase) -> Splits:
    """Return the parts of doubles that are on the disk, prepared and scaled."""
    found = narrow(x, chosen, dataset)
    train, validation, test = (part._replace(x=rows) for part, rows in zip(splits[:3], found.parts, strict=True))
    if found.scale is None:
        coarse, scales = {"features": found.coarse} | splits.coarse, splits.scales
    else:
        coarse, scales = splits.coarse, {"features": found.scale} | splits.scales
    return Splits(train, validation, test, scales, coarse, found.preparation, splits.target)


def _scale_features(splits: Splits, dataset: DatasetBase, files: DatasetFolders) -> Splits:
    """Prepare and scale x in memory, or whenever it is read."""
    if not isinstance(dataset, TableBase):
        return splits
    if dataset.prepare:
        splits = _prepare_splits(splits, dataset, files)
    return _scale_splits(splits, "x", dataset.scaling, dataset if isinstance(dataset, ImagesBase) else None)


def _scale_targets(splits: Splits, dataset: DatasetBase) -> Splits:
    """Transform and scale y."""
    if isinstance(dataset, Upload) and dataset.prepare_target is not None:
        splits = _transform_targets(splits, dataset)
    if isinstance(dataset, RegressionBase) and dataset.facts.task == "regression":
        splits = _scale_splits(splits, "y", dataset.target_scaling)
    return splits


def _prepared_is_large(dataset: DatasetBase, rows: int, files: DatasetFolders) -> bool:
    """Whether doubles that are prepared would not fit in memory: they are then prepared when they are read."""
    if not (isinstance(dataset, TableBase) and dataset.prepare):
        return False
    return rows * len(dataset.planned[-1].after) * np.dtype(np.float64).itemsize > files.resident_bytes


def _prepare_splits(splits: Splits, dataset: TableBase, files: DatasetFolders) -> Splits:
    """Apply the steps of `prepare`, fitted on the training rows: at once, unless the result is too large for memory."""
    rows = splits.train.x
    mapped = rows if isinstance(rows, MappedRows) else MappedRows(rows, np.arange(len(rows)))
    shape = mapped.source.shape[1:]
    at_once = None if isinstance(rows, MappedRows) else -(-math.prod(shape) // FIT_SHARES)
    fitted = Preparation.fit(dataset.planned, mapped.columns, len(rows), shape, at_once)
    size = sum(len(part.x) for part in splits[:3]) * len(fitted.names) * prepared_type(mapped.source.dtype).itemsize
    in_memory = not isinstance(rows, MappedRows) and size <= files.resident_bytes
    train, validation, test = (part._replace(x=_prepare(fitted, part.x, in_memory)) for part in splits[:3])
    return splits._replace(train=train, validation=validation, test=test, preparation=fitted)


def _transform_targets(splits: Splits, dataset: Upload) -> Splits:
    """Transform the targets of every split, fitted on the training split; those of an upload are in memory."""
    parts: list[Any] = [part.y for part in splits[:3]]
    assert dataset.prepare_target is not None
    fitted = TargetTransform.fit(dataset.prepare_target, dataset.predicted, parts[0])
    train, validation, test = (part._replace(y=fitted.apply(part.y)) for part in splits[:3])  # type: ignore[arg-type]
    return splits._replace(train=train, validation=validation, test=test, target=fitted)


def _prepare(fitted: Preparation, rows: Values, in_memory: bool) -> Values:
    """Return the prepared rows, or rows that are prepared whenever they are read."""
    if isinstance(rows, MappedRows):
        return rows.prepared(fitted)
    if not in_memory:
        return MappedRows(rows, np.arange(len(rows))).prepared(fitted)
    prepared = np.empty((len(rows), *fitted.shape), prepared_type(rows.dtype))
    for piece in pieces(prepared.shape, 0, len(rows)):
        prepared[piece] = fitted.apply(rows[piece])
        release(rows[piece])
    return prepared


def _select_rows(values: npt.NDArray[Any], parts: Sequence[Indices]) -> Sequence[Values]:
    """Return the rows of each part: views of `values`, reordered in place, unless they are on disk, bytes or shared."""
    if isinstance(values, np.memmap) or values.dtype == np.uint8:
        return [MappedRows(values, rows) for rows in parts]
    if not (values.flags.writeable and values.flags.c_contiguous):
        return [values[rows] for rows in parts]
    ends = np.cumsum([len(rows) for rows in parts])
    if not all(map(_in_order, parts, ends)):
        _gather_in_place(values, parts)
    return np.split(values[: ends[-1]], ends[:-1])


def _in_order(rows: Indices, end: np.integer[Any]) -> bool:
    """Whether the rows are those before `end`; compared some at a time, for each number takes memory."""
    first = int(end) - len(rows)
    starts = range(0, len(rows), COMPARED)
    return all(
        (rows[at : at + COMPARED] == np.arange(first + at, first + min(at + COMPARED, len(rows)))).all()
        for at in starts
    )


def _gather_in_place(values: npt.NDArray[Any], parts: Sequence[Indices]) -> None:
    """Put the rows of the parts first, some bytes of each row at a time, which copies a small share of the array."""
    row_bytes = values.nbytes // len(values)
    word = next(size for size in (8, 4, 2, 1) if row_bytes % size == 0 and (size * GATHERS <= row_bytes or size <= 2))
    words = values.reshape(len(values), -1).view(f"u{word}")
    width = -(-words.shape[1] // GATHERS)
    for start in range(0, words.shape[1], width):
        group = words[:, start : start + width]
        gathered, filled = np.empty((sum(map(len, parts)), group.shape[1]), group.dtype), 0
        for rows in parts:
            for at in range(0, len(rows), COMPARED):
                some = rows[at : at + COMPARED]
                gathered[filled : filled + len(some)] = group[some]
                filled += len(some)
        group[:filled] = gathered


def _scale_splits(
    splits: Splits, name: Literal["x", "y"], scaling: Scaling, images: ImagesBase | None = None
) -> Splits:
    """Scale x or y of every split, fitted on the training split; find the coarse columns if it stays unscaled."""
    fitted: Values = getattr(splits.train, name)
    take = fitted.raw if isinstance(fitted, MappedRows) else fitted.__getitem__
    what = {"x": "features", "y": "target"}[name]
    scale = fit_scale(scaling, take, len(fitted)) if images is None else fit_channels(images, take, len(fitted))
    if scale is None:
        return splits._replace(coarse=splits.coarse | {what: coarse_columns(take, len(fitted))})
    if name == "x" and splits.preparation is not None:
        scale = scale.without(splits.preparation.unscaled)
    train, validation, test = (_scale_part(scale, part, name) for part in splits[:3])
    scales = splits.scales | {what: scale}
    return splits._replace(train=train, validation=validation, test=test, scales=scales)


def _scale_part(scale: Scale, part: Split, name: Literal["x", "y"]) -> Split:
    if name == "x":
        return part._replace(x=_apply_scale(scale, part.x))
    return part._replace(y=_apply_scale(scale, part.y))


def _to_float_type(rows: Split) -> Split:
    """Convert rows in memory to the run's float type, after scaling; rows on disk are converted when read."""
    x, y = (values if isinstance(values, MappedRows) else to_float_type(values) for values in (rows.x, rows.y))
    return Split(x, y)


def _apply_scale(scale: Scale, values: Values) -> Values:
    return values.scaled(scale) if isinstance(values, MappedRows) else apply_scale(scale, values)


def split_by_position(counts: tuple[int, int, int]) -> tuple[Indices, ...]:
    """Return the first rows for training, then validation, then test, so that no later text is trained on."""
    train, validation, test = counts
    return tuple(np.split(np.arange(train + validation + test), [train, train + validation]))
