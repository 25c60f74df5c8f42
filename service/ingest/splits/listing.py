"""The rows of each part of a run, listed in the process that reads uploads."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from service.errors import Invalid, Problem
from service.ingest.rows import Selection
from service.ingest.splits.assignment import PARTS, parts_of_fold
from service.ingest.splits.counting import SplitRequest
from service.ingest.splits.random_rows import shuffle_share, table_parts
from service.spec.datasets.resolved import PartFile, Resolved
from service.spec.datasets.uploaded import Upload

Indices = npt.NDArray[np.intp]
MAX_ROWS = 10**6  # in an answer


def list_rows(contents: Sequence[Path], document: dict[str, Any], fold: int) -> dict[str, list[int]]:
    """Return the rows, from 0, that are in each part; rows without a needed value are in none.

    They are rows of the dataset's file, or of the part's own where it has one.
    """
    dataset = Upload.model_validate_json(json.dumps(document))
    if dataset.found.rows > MAX_ROWS:
        detail = f"the dataset has {dataset.found.rows} rows, and at most {MAX_ROWS} are listed."
        raise Invalid.of([Problem("", "too_many_rows", detail, MAX_ROWS)])
    if dataset.part_uploads:
        return _rows_of_files(contents, dataset)
    rows, parts_of = deal_rows(contents[0], dataset)
    return {name: rows[part].tolist() for name, part in zip(PARTS, parts_of(fold), strict=True)}


def _rows_of_files(contents: Sequence[Path], dataset: Upload) -> dict[str, list[int]]:
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
