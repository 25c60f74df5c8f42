"""The rows of each part of a run, listed in the process that reads uploads."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from service.errors import Invalid, Problem
from service.ingest.rows import Selection
from service.ingest.splits.assignment import PARTS, parts_of_fold
from service.ingest.splits.counting import SplitRequest
from service.ingest.splits.random_rows import shuffle_share, table_parts
from service.spec.datasets.uploaded import Upload

MAX_ROWS = 10**6  # in an answer


def list_rows(content: Path, document: dict[str, Any], fold: int) -> dict[str, list[int]]:
    """Return the rows of the file, from 0, that are in each part; rows without a needed value are in none."""
    dataset = Upload.model_validate_json(json.dumps(document))
    if dataset.found.rows > MAX_ROWS:
        detail = f"the dataset has {dataset.found.rows} rows, and at most {MAX_ROWS} are listed."
        raise Invalid.of([Problem("", "too_many_rows", detail, MAX_ROWS)])
    selection = Selection.of(dataset.found, dataset.predicted, dataset.features, dataset.task)
    if dataset.split_column:
        parts = parts_of_fold(SplitRequest.of(dataset).assign(content), fold)
        chosen = [np.flatnonzero(parts == part) for part in range(len(PARTS))]
        rows = _complete(selection, content)[1] if dataset.found.dropped else np.arange(len(parts))
    else:
        y, rows = _complete(selection, content)
        if dataset.shuffled_targets:
            y = y[shuffle_share(np.arange(len(y)), dataset.shuffled_targets, dataset.split_seed)]
        chosen = [*table_parts(y, dataset, fold)]
    return {name: rows[part].tolist() for name, part in zip(PARTS, chosen, strict=True)}


def _complete(selection: Selection, content: Path) -> tuple[npt.NDArray[Any], npt.NDArray[np.intp]]:
    """Return the targets of the complete rows, and where these are in the file."""
    blocks = [(y[complete], complete) for _, y, complete in selection.masked_blocks(content)]
    return np.concatenate([y for y, _ in blocks]), np.flatnonzero(np.concatenate([mask for _, mask in blocks]))
