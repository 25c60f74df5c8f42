"""Counting the rows of a stored file that have every value that a spec needs, in the process that reads it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from service.errors import Invalid, Problem, RunFailure
from service.ingest.rows import Selection

Counts = tuple[int, int, tuple[int, ...]]


def count_complete(content: Path, selection: Mapping[str, Any], train: int) -> Counts:
    """Return the complete rows, how many of them come after the first `train` rows, and how many each class has.

    `selection` holds the fields of a `Selection` as JSON.
    """
    try:
        return _count(content, Selection.of_json(selection), train)
    except RunFailure as error:
        raise Invalid.of([Problem("/dataset/predict", "out_of_range", f"{error}.")]) from None


def _count(content: Path, selection: Selection, train: int) -> Counts:
    seen = rows = test = 0
    counts = np.zeros(len(selection.classes), np.int64)
    for _, y, complete in selection.masked_blocks(content):
        rows += int(complete.sum())
        test += int(complete[max(train - seen, 0) :].sum())
        seen += len(complete)
        if selection.task == "classification":
            counts += np.bincount(y[complete], minlength=len(counts))
    return rows, test, tuple(counts.tolist())
