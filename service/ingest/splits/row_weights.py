"""The weights of a stored file's rows: read for a worker, checked for the server in the process that reads files."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from service.errors import Invalid, Problem
from service.ingest.cells import to_doubles
from service.ingest.report import read_batches
from service.ingest.splits.listing import complete_rows, deal_rows
from service.spec.datasets.uploaded import Upload

Weights = npt.NDArray[np.float64]
POINTER = "/dataset/weights"
SHOWN_ROWS = 5


def row_weights(content: Path, dataset: Upload) -> Weights:
    """Return the weights of the rows that are trained on; raise `Invalid` unless all are finite and 0 or above."""
    weights = _read_weights(content, dataset)
    return weights[complete_rows(content, dataset)] if dataset.found.dropped else weights


def _read_weights(content: Path, dataset: Upload) -> Weights:
    assert dataset.weights is not None
    found = dataset.found
    batches = read_batches(content, found.format, [dataset.weights], found.reading)
    blocks = [to_doubles(batch[dataset.weights]) for batch in batches]
    if any(block is None for block in blocks):
        raise _invalid("not_a_number", f"the column {dataset.weights} holds a text: weights are numbers.")
    weights = np.concatenate([block for block in blocks if block is not None])
    wrong = np.flatnonzero(~((weights >= 0) & np.isfinite(weights)))
    if len(wrong):
        named = ", ".join(str(row + 1) for row in wrong[:SHOWN_ROWS])
        count = f"{len(wrong)} {'row' if len(wrong) == 1 else 'rows'}"
        detail = f"the column {dataset.weights} is negative, missing or infinite in {count} (first: {named})"
        raise _invalid("out_of_range", f"{detail}: weights are finite and 0 or above; correct them and upload again.")
    return weights


def check_weights(content: Path, document: dict[str, Any]) -> None:
    """Raise `Invalid` where a dataset's weights cannot draw training rows; `document` is the dataset as JSON."""
    dataset = Upload.model_validate_json(json.dumps(document))
    rows, parts_of = deal_rows(content, dataset)
    weights = _read_weights(content, dataset)[rows]
    for fold in range(dataset.folds or 1):
        train = parts_of(fold)[0]
        if len(train) and not weights[train].any():
            named = ", ".join(str(row + 1) for row in rows[train][:SHOWN_ROWS])
            part = "the training part" if dataset.folds is None else f"the training part of fold {fold}"
            detail = f"the column {dataset.weights} is 0 in all {len(train)} rows of {part} (first: {named})"
            raise _invalid("out_of_range", f"{detail}: one weight at least must be above 0.")


def _invalid(code: str, detail: str) -> Invalid:
    return Invalid.of([Problem(POINTER, code, detail)])
