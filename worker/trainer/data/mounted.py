"""Rows of datasets in the mounted folder; what does not fit in memory is unpacked once, beside the uploads."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from service.errors import Invalid, RunFailure
from service.ingest.images import SETS
from service.ingest.mounted import features as feature_columns
from service.ingest.mounted import fingerprint, splits
from service.ingest.parquet import plain
from service.ingest.rows import Block
from service.ingest.values import labels, real_numbers
from service.spec.datasets.mounted import FolderContents, HuggingFace
from worker.trainer.data.dataset_folders import DatasetFolders
from worker.trainer.data.split import Arrays
from worker.trainer.data.uploads import gathered


def images(files: DatasetFolders, name: str, resolved: FolderContents | None = None) -> Arrays:
    """x (N, C, H, W) float32 of 0 to 255 and y (N,) classes: first the training files, then the test files."""
    root, known = _root(files), SETS[name]
    assert resolved is not None, "the server resolves a mounted dataset before it is queued"
    try:
        parts = [known.part(root, test) for test in (False, True)]
        _check(root, [path for part in parts for path in part.files], resolved)
        blocks = (
            (x.astype(np.float32), _in_range(y, resolved).astype(np.int64))
            for part in parts
            for x, y in known.rows(part)
        )
        return _gather(files, resolved, name, blocks)
    except Invalid as error:
        raise RunFailure("dataset_missing", error.problems[0].detail) from error


def table(
    files: DatasetFolders,
    path: str,
    predict: str,
    task: Literal["classification", "regression"],
    split: str = "train",
    test_split: str | None = None,
    features: Sequence[str] | None = None,
    resolved: FolderContents | None = None,
) -> Arrays:
    """x (N, *shape); classes as their numbers, or values: first the split to train on, then the test split."""
    root = _root(files)
    assert resolved is not None, "the server resolves a mounted dataset before it is queued"
    given = {"path": path, "predict": predict, "task": task, "split": split, "test_split": test_split}
    chosen = None if features is None else tuple(features)
    wanted = HuggingFace.model_validate({"kind": "huggingface", "features": chosen} | given)
    try:
        parts = splits(root, wanted)
        _check(root, [file for part in parts for file in part.files], resolved)
        columns, named = feature_columns(parts[0], wanted, resolved.aside), parts[0].classes(predict) is not None
        blocks = (
            (_beside(batch, columns, resolved), _answers(batch.column(predict), predict, task, named, resolved))
            for part in parts
            for batch in part.batches([*columns, predict])
        )
        return _gather(files, resolved, wanted.model_dump_json(), blocks)
    except Invalid as error:
        raise RunFailure("dataset_missing", error.problems[0].detail) from error


def _root(files: DatasetFolders) -> Path:
    if files.mounted is None:
        raise RunFailure("dataset_missing", "this worker mounts no folder of datasets: set SADDLE_DATASET_FOLDER")
    return files.mounted


def _check(root: Path, paths: list[Path], resolved: FolderContents) -> None:
    if fingerprint(root, paths) != resolved.fingerprint:
        raise RunFailure("dataset_changed", f"{paths[0].name} and what belongs to it are not what the spec was made of")


def _gather(files: DatasetFolders, resolved: FolderContents, key: str, blocks: Iterator[Block]) -> Arrays:
    """In memory, or unpacked in a folder of its own beside the uploads."""
    place = (files.folder or Path()) / f"mounted-{resolved.fingerprint}" / "content"
    shapes = (resolved.rows, *resolved.shape), (resolved.rows,)
    return gathered(files, place, key, blocks, shapes)


def _in_range(y: npt.NDArray[Any], resolved: FolderContents) -> npt.NDArray[Any]:
    if len(y) and not 0 <= int(y.min()) <= int(y.max()) < len(resolved.classes):
        raise ValueError(f"a label is {y.max()}, and there are {len(resolved.classes)} classes")
    return y


def _beside(batch: Any, columns: list[str], resolved: FolderContents) -> npt.NDArray[Any]:
    """Columns of single numbers side by side, or one array."""
    if len(columns) == 1 and resolved.shape != (1,):
        return _numbers(batch.column(columns[0]), columns[0], (batch.num_rows, *resolved.shape))
    return np.stack([_numbers(batch.column(name), name, (batch.num_rows,)) for name in columns], axis=1)


def _numbers(array: Any, name: str, shape: tuple[int, ...]) -> npt.NDArray[Any]:
    """The innermost values in one piece; a missing or infinite one is said by its column."""
    from pyarrow import types  # noqa: PLC0415

    array = getattr(array, "storage", array)
    while types.is_list(array.type) or types.is_large_list(array.type) or types.is_fixed_size_list(array.type):
        array = array.flatten()
    values = real_numbers(plain(array))
    if values.size != np.prod(shape):
        raise ValueError(f"the column {name} has rows of other shapes than {list(shape[1:])}")
    if not np.isfinite(values).all():
        raise ValueError(f"the column {name} has missing or infinite values: fill them or leave those rows out")
    return values.reshape(shape)


def _answers(array: Any, name: str, task: str, named: bool, resolved: FolderContents) -> npt.NDArray[Any]:
    if task == "regression":
        return _numbers(array, name, (len(array),))
    if not named:
        return labels(plain(array), resolved.classes)
    return _in_range(_numbers(array, name, (len(array),)).astype(np.int64), resolved)
