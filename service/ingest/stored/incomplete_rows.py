"""What a spec makes of a stored file: rows that it drops, and the parts of the others. Counted once for each choice."""

import json
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from service.errors import Invalid
from service.ingest.reader import ReadLimits
from service.ingest.reader_process import SHARED
from service.ingest.rows import Selection
from service.ingest.splits.counting import SplitRequest
from service.spec.datasets.images import Images
from service.spec.datasets.report import Report
from service.spec.datasets.resolved import ResolvedSplit
from service.spec.datasets.uploaded import Upload

LIMITS = ReadLimits(cpu_s=60)  # a request waits, with its connection


def drop_incomplete_rows(contents: Sequence[Path], reports: Sequence[Report], wanted: Upload) -> list[Report]:
    """Return the reports as they would be of files without the incomplete rows."""
    joined, _ = wanted.join(reports)
    needed = {*wanted.chosen(joined), *wanted.predicted} - wanted.filled(joined)
    filled = [_without_gaps(report, needed) for report in reports]
    resolved, _ = wanted.resolve(wanted.join(filled)[0], "0" * 64)
    if resolved is None:
        return filled  # other problems are reported first
    selection = Selection.of(resolved, wanted.predicted, wanted.features, wanted.task)
    return [
        _counted(content, report, selection.for_file(report), wanted)
        for content, report in zip(contents, filled, strict=True)
    ]


def _counted(content: Path, report: Report, selection: Selection, wanted: Upload) -> Report:
    rows, test, counts = _count_complete(content, selection, report.rows - report.test)
    classes = dict(zip(selection.classes, counts, strict=True)) if wanted.task == "classification" else {}
    columns = (
        column.model_copy(update={"classes": classes}) if classes and column.name in wanted.predicted else column
        for column in report.columns
    )
    return report.model_copy(update={"rows": rows, "test": test, "columns": tuple(columns)})


@lru_cache(maxsize=1_000)
def _count_complete(content: Path, selection: Selection, train: int) -> tuple[int, int, tuple[int, ...]]:
    """Return the complete rows, how many of them come after the first `train` rows, and how many each class has.

    Another process reads them. Cached by path, which contains the file's hash.
    """
    request = {"path": str(content.resolve()), "selection": selection.as_json(), "train": train}
    try:
        rows, test, counts = json.loads(SHARED.ask(request, LIMITS))
    except Invalid as error:
        at_field = (replace(problem, pointer=problem.pointer or "/dataset/missing") for problem in error.problems)
        raise Invalid.of([*at_field]) from None
    return rows, test, tuple(counts)


def count_parts(content: Path, wanted: Upload) -> tuple[ResolvedSplit, tuple[str, ...]]:
    """Return how many rows each part of a resolved dataset has, and untrained classes; another process reads them."""
    return _count_parts(content.resolve(), SplitRequest.of(wanted))


def list_parts(contents: Sequence[Path], dataset: Upload | Images, fold: int) -> dict[str, Any]:
    """Return the rows of each part, from 0, of a run that validates on this fold; another process reads them."""
    path, *others = (str(content.resolve()) for content in contents)
    asked = {"path": path, "others": others, "listed": dataset.model_dump(mode="json"), "fold": fold}
    found: dict[str, Any] = json.loads(SHARED.ask(asked, LIMITS))
    return found


def check_weights(content: Path, dataset: Upload) -> None:
    """Raise `Invalid` where a resolved dataset's weights cannot draw its training rows; another process reads them."""
    _check_weights(content.resolve(), json.dumps(dataset.model_dump(mode="json", exclude={"upload"})))


@lru_cache(maxsize=1_000)
def _check_weights(content: Path, dataset: str) -> None:
    """Ask another process. Cached by path, which contains the file's hash; which upload it was makes no difference."""
    document = json.loads(dataset) | {"upload": "dat_" + "0" * 26}
    SHARED.ask({"path": str(content), "weighted": document}, LIMITS)


@lru_cache(maxsize=1_000)
def _count_parts(content: Path, request: SplitRequest) -> tuple[ResolvedSplit, tuple[str, ...]]:
    found = json.loads(SHARED.ask({"path": str(content), "split": request.as_json()}, LIMITS))
    untrained = tuple(found.pop("untrained"))
    return ResolvedSplit.model_validate_json(json.dumps(found)), untrained


def _without_gaps(report: Report, needed: set[str]) -> Report:
    """Return the report as if no needed column missed a value."""
    columns = (c.model_copy(update={"missing": 0}) if c.name in needed else c for c in report.columns)
    return report.model_copy(update={"columns": tuple(columns)})
