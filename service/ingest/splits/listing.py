"""The rows of each part of a run, listed in the process that reads uploads."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from service.ingest.hugging_face import open_files
from service.ingest.images.archive import open_archive
from service.ingest.images.encoded import read_labels
from service.ingest.rows import Selection
from service.ingest.splits.assignment import parts_of_fold
from service.ingest.splits.counting import SplitRequest
from service.ingest.splits.random_rows import shuffle_share, table_parts
from service.spec.datasets.base import TableBase
from service.spec.datasets.images import Images
from service.spec.datasets.resolved import PartFile, Resolved
from service.spec.datasets.splits import PARTS
from service.spec.datasets.uploaded import Upload

Indices = npt.NDArray[np.integer]


def list_rows(contents: Sequence[Path], document: dict[str, Any], fold: int) -> dict[str, Any]:
    """Return the rows, from 0, that are in each part, and names of the rows where they have some.

    They are rows of the dataset's file, or of the part's own where it has one; rows without a needed value are in none.
    """
    if document["kind"] == "images":
        return _list_images(contents[0], Images.model_validate_json(json.dumps(document)), fold)
    dataset = Upload.model_validate_json(json.dumps(document))
    if dataset.part_uploads:
        return _rows_of_files(contents, dataset)
    rows, parts_of = deal_rows(contents[0], dataset)
    return _by_part([rows[part] for part in parts_of(fold)])


def list_unstratified(dataset: TableBase, fold: int) -> dict[str, Any]:
    """Return the rows of each part, from 0, of data whose split looks at no target."""
    return _by_part(table_parts(np.zeros(dataset.facts.rows), dataset, fold))


def _by_part(parts: Sequence[Indices]) -> dict[str, Any]:
    return {name: rows.tolist() for name, rows in zip(PARTS, parts, strict=True)}


def _list_images(content: Path, dataset: Images, fold: int) -> dict[str, Any]:
    if dataset.part_uploads:
        train, validation, test = (range(count) for count in dataset.counts)
        return {"train": [*train], "validation": [*validation], "test": [*test]}
    names: list[str] | None = None
    if dataset.found.format == "images":
        with open_archive(content) as (folders, _):
            names, labels = list(folders.names), np.array(folders.labels)
    else:
        labels = read_labels(open_files([content]), dataset.label, dataset.found.classes)
    if dataset.shuffled_targets:
        labels = labels[shuffle_share(np.arange(len(labels)), dataset.shuffled_targets, dataset.split_seed)]
    return _by_part(table_parts(labels, dataset, fold)) | {"names": names}


def _rows_of_files(contents: Sequence[Path], dataset: Upload) -> dict[str, Any]:
    listed: dict[str, list[int]] = {name: [] for name in PARTS}
    for name, content, file in zip(PARTS, contents, dataset.found.every_file, strict=False):
        listed[name] = _complete(content, dataset, file)[1].tolist()
    return listed


def deal_rows(content: Path, dataset: Upload) -> tuple[Indices, Callable[[int], Sequence[Indices]]]:
    """Return the complete rows of the file, from 0, and what deals their positions into the parts of a fold."""
    if dataset.part_uploads:
        rows, none = complete_rows(content, dataset), np.empty(0, np.intp)
        return rows, lambda _: [np.arange(len(rows)), none, none]
    if dataset.split_column:
        parts = SplitRequest.of(dataset).assign(content)
        rows = complete_rows(content, dataset) if dataset.found.dropped else np.arange(len(parts))
        return rows, lambda fold: [np.flatnonzero(parts_of_fold(parts, fold) == part) for part in range(len(PARTS))]
    y, rows = _complete(content, dataset)
    if dataset.shuffled_targets:
        y = y[shuffle_share(np.arange(len(y)), dataset.shuffled_targets, dataset.split_seed)]
    return rows, lambda fold: table_parts(y, dataset, fold)


def complete_rows(content: Path, dataset: Upload) -> Indices:
    """Return the rows of the file, from 0, that have every value that is trained on."""
    return _complete(content, dataset)[1]


def _complete(
    content: Path, dataset: Upload, file: Resolved | PartFile | None = None
) -> tuple[npt.NDArray[Any], Indices]:
    """Return the targets of the complete rows, and where these are in the file: the dataset's own by default."""
    selection = Selection.of(dataset.found, dataset.predicted, dataset.features, dataset.task)
    selection = selection.for_file(file or dataset.found)
    blocks = [(y[complete], complete) for _, y, complete in selection.masked_blocks(content)]
    return np.concatenate([y for y, _ in blocks]), np.flatnonzero(np.concatenate([mask for _, mask in blocks]))
