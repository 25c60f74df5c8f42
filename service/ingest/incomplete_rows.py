"""Rows that a spec drops because a column has no value there: counted in the file, once for each choice of columns."""

from functools import lru_cache
from pathlib import Path

import numpy as np

from service.errors import Invalid, Problem, RunFailure
from service.ingest.rows import Selection
from service.spec.datasets.report import Report
from service.spec.datasets.uploaded import Upload


def drop_incomplete_rows(content: Path, report: Report, wanted: Upload) -> Report:
    """Return the report as it would be of a file without the incomplete rows."""
    filled = _without_gaps(report, wanted)
    resolved, _ = wanted.resolve(filled, "0" * 64)
    if resolved is None:
        return filled  # other problems are reported first
    selection = Selection.of(resolved, wanted.predicted, wanted.features, wanted.task)
    try:
        rows, test, counts = _count_complete(content, selection, report.rows - report.test)
    except RunFailure as error:
        raise Invalid.of([Problem("/dataset/predict", "out_of_range", f"{error}.")]) from None
    classes = dict(zip(resolved.classes, counts, strict=True))
    columns = (
        column.model_copy(update={"classes": classes}) if classes and column.name in wanted.predicted else column
        for column in filled.columns
    )
    return filled.model_copy(update={"rows": rows, "test": test, "columns": tuple(columns)})


@lru_cache(maxsize=1_000)
def _count_complete(content: Path, selection: Selection, train: int) -> tuple[int, int, tuple[int, ...]]:
    """Return the complete rows, how many of them come after the first `train` rows, and how many each class has.

    Cached by path, which contains the file's hash.
    """
    seen = rows = test = 0
    counts = np.zeros(len(selection.classes), np.int64)
    for _, y, complete in selection.masked_blocks(content):
        rows += int(complete.sum())
        test += int(complete[max(train - seen, 0) :].sum())
        seen += len(complete)
        if selection.task == "classification":
            counts += np.bincount(y[complete], minlength=len(counts))
    return rows, test, tuple(counts.tolist())


def _without_gaps(report: Report, wanted: Upload) -> Report:
    """Return the report as if no chosen column missed a value."""
    chosen = {*wanted.chosen(report), *wanted.predicted}
    columns = (c.model_copy(update={"missing": 0}) if c.name in chosen else c for c in report.columns)
    return report.model_copy(update={"columns": tuple(columns)})
