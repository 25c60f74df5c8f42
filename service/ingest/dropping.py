"""Rows that a spec leaves out because a column has no value there: counted in the file, once for each choice."""

from functools import lru_cache
from pathlib import Path

import numpy as np

from service.errors import Invalid, Problem, RunFailure
from service.ingest.rows import Selection
from service.spec.datasets.report import Column, Report
from service.spec.datasets.uploaded import Upload


def complete(content: Path, report: Report, wanted: Upload) -> Report:
    """The report as it would be of a file without these rows; the same one where there are none, or where they stay."""
    if not wanted.drops(report):
        return report
    filled = _filled(report, wanted)
    resolved, _ = wanted.resolve(filled, "0" * 64)
    if resolved is None:
        return filled  # whatever else is wrong is told first
    selection = Selection.of(resolved, wanted.predicted, wanted.features, wanted.task)
    try:
        rows, test, counts = _counted(content, selection, report.rows - report.test)
    except RunFailure as error:
        raise Invalid.of([Problem("/dataset/predict", "out_of_range", f"{error}.")]) from None
    left = dict(zip(resolved.classes, counts, strict=True))
    return filled.model_copy(
        update={
            "rows": rows,
            "test": test,
            "columns": tuple(_with_classes(c, left) if c.name in wanted.predicted else c for c in filled.columns),
        }
    )


@lru_cache(maxsize=1_000)
def _counted(content: Path, selection: Selection, train: int) -> tuple[int, int, tuple[int, ...]]:
    """Rows that are left, how many of them lie behind the first `train` ones, and how many each class has.

    Kept by the path, which names the file by its hash.
    """
    seen = rows = test = 0
    counts = np.zeros(len(selection.classes), np.int64)
    for _, y, kept in selection.looked_at(content):
        rows += int(kept.sum())
        test += int(kept[max(train - seen, 0) :].sum())
        seen += len(kept)
        if selection.task == "classification":
            counts += np.bincount(y[kept], minlength=len(counts))
    return rows, test, tuple(counts.tolist())


def _filled(report: Report, wanted: Upload) -> Report:
    """As if no chosen column lacked a value."""
    chosen = {*wanted.chosen(report), *wanted.predicted}
    columns = (c.model_copy(update={"missing": 0}) if c.name in chosen else c for c in report.columns)
    return report.model_copy(update={"columns": tuple(columns)})


def _with_classes(column: Column, left: dict[str, int]) -> Column:
    """With the rows that each class has left, be they none."""
    return column.model_copy(update={"classes": left}) if left else column
