"""Tables of the mounted folder; a table that does not fit in memory is unpacked once, beside the uploads."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pyarrow import types

from service.errors import Invalid, RunFailure
from service.ingest.cells import to_floats
from service.ingest.class_labels import class_indices
from service.ingest.mounted_tables import feature_columns, open_splits
from service.ingest.parquet import decode
from service.spec.datasets.mounted import FolderContents, HuggingFace
from worker.trainer.data.dataset_folders import DatasetFolders
from worker.trainer.data.mounted import check_fingerprint, gather, in_range, mounted_root
from worker.trainer.data.split import Arrays


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
    root = mounted_root(files)
    assert resolved is not None, "the server resolves a mounted dataset before it is queued"
    given = {"path": path, "predict": predict, "task": task, "split": split, "test_split": test_split}
    chosen = None if features is None else tuple(features)
    wanted = HuggingFace.model_validate({"kind": "huggingface", "features": chosen} | given)
    try:
        parts = open_splits(root, wanted)
        check_fingerprint(root, [file for part in parts for file in part.files], resolved)
        columns, named = feature_columns(parts[0], wanted, resolved.aside), parts[0].classes(predict) is not None
        blocks = (
            (_stack_columns(batch, columns, resolved), _targets(batch.column(predict), predict, task, named, resolved))
            for part in parts
            for batch in part.batches([*columns, predict])
        )
        return gather(files, resolved, wanted.model_dump_json(), blocks)
    except Invalid as error:
        raise RunFailure("dataset_missing", error.problems[0].detail) from error


def _stack_columns(batch: Any, columns: list[str], resolved: FolderContents) -> npt.NDArray[Any]:
    """Return columns of single numbers side by side, or the one array column."""
    if len(columns) == 1 and resolved.shape != (1,):
        return _to_numbers(batch.column(columns[0]), columns[0], (batch.num_rows, *resolved.shape))
    return np.stack([_to_numbers(batch.column(name), name, (batch.num_rows,)) for name in columns], axis=1)


def _to_numbers(array: Any, name: str, shape: tuple[int, ...]) -> npt.NDArray[Any]:
    """Return a column as one array; raise `ValueError` if a value is missing or infinite."""
    array = getattr(array, "storage", array)
    while types.is_list(array.type) or types.is_large_list(array.type) or types.is_fixed_size_list(array.type):
        array = array.flatten()
    values = to_floats(decode(array))
    if values.size != np.prod(shape):
        raise ValueError(f"the column {name} has rows of other shapes than {list(shape[1:])}")
    if not np.isfinite(values).all():
        raise ValueError(f"the column {name} has missing or infinite values: fill them or leave those rows out")
    return values.reshape(shape)


def _targets(array: Any, name: str, task: str, named: bool, resolved: FolderContents) -> npt.NDArray[Any]:
    if task == "regression":
        return _to_numbers(array, name, (len(array),))
    if not named:
        return class_indices(decode(array), resolved.classes)
    return in_range(_to_numbers(array, name, (len(array),)).astype(np.int64), resolved)
