"""Files of their own for the parts: how they fit the training file, and all of them as one table."""

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from service.errors import Problem
from service.spec.datasets.columns import gaps
from service.spec.datasets.report import MAX_CLASSES, Column, Report
from service.spec.validation_errors import closest, sanitise

TABLES = ("csv", "parquet", "npz", "jsonl", "json")
MAX_PROBLEMS = 10  # of one file
SHOWN_CLASSES = 5


@dataclass(frozen=True)
class UsedColumns:
    """The columns of a table that a spec trains on."""

    features: tuple[str, ...]
    predicted: tuple[str, ...]
    of_classes: bool  # those to predict, so that they are read by name
    may_lack: frozenset[str]  # those whose rows without a value are filled or left out

    def problems(self, part: str, training: Report, report: Report) -> Iterator[Problem]:
        """Yield why the file of this part does not fit the training file; pointers start at the dataset."""
        pointer = f"/split/{part}"
        if report.format not in TABLES:
            yield Problem(pointer, "wrong_format", f"is {report.format}, and the training file a table.")
        elif report.test:
            detail = "the file has its own rows to test on: upload the rows of one part alone."
            yield Problem(pointer, "contradiction", detail)
        else:
            found = self._column_problems(training, report)
            yield from (Problem(pointer, code, sanitise(detail), None, meant) for code, detail, meant in found)

    def _column_problems(self, training: Report, report: Report) -> Iterator[tuple[str, str, str | None]]:
        own, other = ({column.name: column for column in each.columns} for each in (training, report))
        used = (*self.features, *self.predicted)
        if lacking := [name for name in used if name not in other]:
            more = f" and {len(lacking) - 3} more" if len(lacking) > 3 else ""
            detail = f"the file has no column {', '.join(lacking[:3])}{more}, which the training file has."
            yield "no_such_column", detail, closest(lacking[0], report.names)
        pairs = ((own[name], other[name]) for name in used if name in other)
        found = ((code, detail) for pair in pairs for code, detail in self._misfits(*pair, report.rows))
        yield from ((code, detail, None) for code, detail in islice(found, MAX_PROBLEMS))

    def _misfits(self, own: Column, other: Column, rows: int) -> Iterator[tuple[str, str]]:
        """Yield how a column differs from that of the training file, each as code and detail."""
        by_name = self.of_classes and own.name in self.predicted
        if own.shape != other.shape:
            detail = f"has {list(other.shape)} values a row here, and {list(own.shape)} in the training file."
            yield "wrong_shape", f"the column {own.name} {detail}"
        elif not by_name and _kind(own) != _kind(other):
            first = f" (row {other.text_row} is the first that is no number)" if other.text_row else ""
            detail = (
                f"is {_described(other)} here{first}, and {_described(own)} in the training file: write both alike."
            )
            yield "wrong_type", f"the column {own.name} {detail}"
        elif other.infinite or (other.missing and own.name not in self.may_lack):
            yield "missing_values", gaps(other, rows, is_feature=own.name in self.features)
        elif by_name and own.classes is not None:
            yield from _unknown_classes(own, other)


def _kind(column: Column) -> str:
    return "number" if column.type == "integer" else column.type


def _described(column: Column) -> str:
    """Return what a column holds, a noun."""
    names = {"integer": "whole numbers", "number": "numbers", "boolean": "booleans", "text": "text"}
    return names.get(column.type, column.holds or "of another type")


def _unknown_classes(own: Column, other: Column) -> Iterator[tuple[str, str]]:
    assert own.classes is not None
    if detail := unknown_classes(own.name, other.classes, own.classes):
        yield "unknown_class", detail


def unknown_classes(name: str, found: Collection[str] | None, known: Collection[str]) -> str:
    """Return that a column of a part has classes which the training file lacks; empty if it has none."""
    if found is None:
        return f"the column {name} has more values than the training file has classes."
    unknown = [each for each in found if each not in known]
    if not unknown:
        return ""
    what = "the class" if len(unknown) == 1 else f"{len(unknown)} classes"
    shown, listed = (", ".join(sorted(each)[:SHOWN_CLASSES]) for each in (unknown, known))
    detail = f"the column {name} has {what} {shown}, which the training file lacks; it has {listed}"
    more = len(known) - SHOWN_CLASSES
    return f"{detail} and {more} more." if more > 0 else f"{detail}."


def join_reports(reports: Sequence[Report], features: Sequence[str], predicted: Sequence[str]) -> Report:
    """Return the report of all files as one table: the training file's columns and classes, the rows of all.

    Columns that are neither features nor predicted stay as the training file has them.
    """
    first, *others = reports
    if not others:
        return first
    known = [{column.name: column for column in report.columns} for report in others]
    used = {*features, *predicted}
    columns = (
        _join(column, [each[column.name] for each in known if column.name in each], column.name in predicted)
        if column.name in used
        else column
        for column in first.columns
    )
    rows = [report.rows for report in reports]
    parts = {"validation": rows[1], "test": sum(rows[2:])}
    return first.model_copy(update={"rows": sum(rows), **parts, "columns": tuple(columns)})


def _join(column: Column, others: Sequence[Column], is_target: bool) -> Column:
    """Return the column over the rows of all files; a column to predict keeps its classes, which are counted there."""
    alike = [column, *(each for each in others if _kind(each) == _kind(column))]
    lows, highs = ([value for each in alike if (value := getattr(each, name)) is not None] for name in ("min", "max"))
    joined: dict[str, Any] = {
        "type": column.type if len({each.type for each in alike}) == 1 else "number",
        "as_written": any(each.as_written for each in alike),
        "missing": sum(each.missing for each in alike),
        "infinite": sum(each.infinite for each in alike),
        "min": min(lows, default=None),
        "max": max(highs, default=None),
    }
    if not is_target:
        joined["classes"] = _joined_classes(alike)
    return column.model_copy(update=joined)


def _joined_classes(columns: Sequence[Column]) -> dict[str, int] | None:
    counts: Counter[str] = Counter()
    for column in columns:
        if column.classes is None:
            return None
        counts.update(column.classes)
    return dict(counts) if len(counts) <= MAX_CLASSES else None
