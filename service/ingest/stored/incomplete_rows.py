"""What a spec makes of a stored file: rows that it drops, and the parts of the others. Counted once for each choice."""

import json
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from service.errors import Invalid
from service.ingest.reader import ReadLimits
from service.ingest.reader_process import SHARED
from service.ingest.rows import Selection
from service.ingest.splits.counting import SplitRequest
from service.spec.datasets.report import Report
from service.spec.datasets.resolved import ResolvedSplit
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
    request = {"path": str(content.resolve()), "selection": selection.as_json(), "train": train}
    try:
        rows, test, counts = json.loads(SHARED.ask(request, LIMITS))
    except Invalid as error:
        at_field = (replace(problem, pointer=problem.pointer or "/dataset/missing") for problem in error.problems)
        raise Invalid.of([*at_field]) from None
    return rows, test, tuple(counts)


def count_parts(content: Path, wanted: Upload) -> ResolvedSplit:
    """Return how many rows each part of a resolved dataset has; another process reads them."""
    return _count_parts(content.resolve(), SplitRequest.of(wanted))


def list_parts(content: Path, dataset: Upload, fold: int) -> dict[str, list[int]]:
    """Return the rows of each part, from 0, of a run that validates on this fold; another process reads them."""
    asked = {"path": str(content.resolve()), "listed": dataset.model_dump(mode="json"), "fold": fold}
    found: dict[str, list[int]] = json.loads(SHARED.ask(asked, LIMITS))
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
def _count_parts(content: Path, request: SplitRequest) -> ResolvedSplit:
    asked = {"path": str(content), "split": request.as_json()}
    return ResolvedSplit.model_validate_json(SHARED.ask(asked, LIMITS))


def _without_gaps(report: Report, wanted: Upload) -> Report:
    """Return the report as if no chosen column missed a value, but those that a step fills."""
    chosen = {*wanted.chosen(report), *wanted.predicted} - wanted.filled(report)
    columns = (c.model_copy(update={"missing": 0}) if c.name in chosen else c for c in report.columns)
    return report.model_copy(update={"columns": tuple(columns)})
