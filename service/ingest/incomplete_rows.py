"""Rows that a spec drops because a column has no value there: counted in the file, once for each choice of columns."""

import json
from dataclasses import asdict, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from service.errors import Invalid
from service.ingest.reader import ReadLimits
from service.ingest.reader_process import SHARED
from service.ingest.rows import Selection
from service.spec.datasets.report import Report
from service.spec.datasets.uploaded import Upload

LIMITS = ReadLimits(cpu_s=60)  # a request waits, with its connection


def drop_incomplete_rows(content: Path, report: Report, wanted: Upload) -> Report:
    """Return the report as it would be of a file without the incomplete rows."""
    filled = _without_gaps(report, wanted)
    resolved, _ = wanted.resolve(filled, "0" * 64)
    if resolved is None:
        return filled  # other problems are reported first
    selection = Selection.of(resolved, wanted.predicted, wanted.features, wanted.task)
    rows, test, counts = _count_complete(content, selection, report.rows - report.test)
    classes = dict(zip(resolved.classes, counts, strict=True))
    columns = (
        column.model_copy(update={"classes": classes}) if classes and column.name in wanted.predicted else column
        for column in filled.columns
    )
    return filled.model_copy(update={"rows": rows, "test": test, "columns": tuple(columns)})


@lru_cache(maxsize=1_000)
def _count_complete(content: Path, selection: Selection, train: int) -> tuple[int, int, tuple[int, ...]]:
    """Return the complete rows, how many of them come after the first `train` rows, and how many each class has.

    Another process reads them. Cached by path, which contains the file's hash.
    """
    request = {"path": str(content.resolve()), "selection": _as_json(selection), "train": train}
    try:
        rows, test, counts = json.loads(SHARED.ask(request, LIMITS))
    except Invalid as error:
        at_field = (replace(problem, pointer=problem.pointer or "/dataset/missing") for problem in error.problems)
        raise Invalid.of([*at_field]) from None
    return rows, test, tuple(counts)


def _as_json(selection: Selection) -> dict[str, Any]:
    return {**asdict(selection), "reading": selection.reading.model_dump()}


def _without_gaps(report: Report, wanted: Upload) -> Report:
    """Return the report as if no chosen column missed a value."""
    chosen = {*wanted.chosen(report), *wanted.predicted}
    columns = (c.model_copy(update={"missing": 0}) if c.name in chosen else c for c in report.columns)
    return report.model_copy(update={"columns": tuple(columns)})
