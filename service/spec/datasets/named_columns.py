"""The columns of a table that a spec names: which they are, and what is wrong with their names."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from service.errors import Problem
from service.spec.datasets.columns import weight_column
from service.spec.datasets.report import Column, Report
from service.spec.datasets.splits import GroupSplit, Split, SplitBase, TimeSplit
from service.spec.validation_errors import closest

ColumnName = Annotated[str, Field(min_length=1, max_length=200)]


@dataclass(frozen=True)
class NamedColumns:
    """The columns to predict, of features (null: all others), that splits, and of weights."""

    predict: str | tuple[str, ...]
    features: tuple[str, ...] | None
    split: Split
    split_column: str | None
    weights: str | None
    folds: int | None

    @property
    def predicted(self) -> tuple[str, ...]:
        """The names of the columns to predict."""
        return (self.predict,) if isinstance(self.predict, str) else self.predict

    def chosen(self, report: Report) -> list[str]:
        """Return the names of the features."""
        if self.features:
            return list(self.features)
        left_out = {*self.predicted, *self.aside(report)}
        return [c.name for c in report.columns if c.name not in left_out]

    def aside(self, report: Report) -> tuple[str, ...]:
        """Return columns that are no features only because the spec does not name them."""
        if self.features:
            return ()
        aside = (c for c in report.columns if c.aside or c.name in (self.split_column, self.weights))
        return tuple(c.name for c in aside if c.name not in self.predicted)

    def problems(self, report: Report) -> Iterator[Problem]:
        """Yield columns that do not exist, are given twice, or have two roles."""
        for index, name in enumerate(self.predicted):
            pointer = "/predict" if isinstance(self.predict, str) else f"/predict/{index}"
            if (missing := _missing(report, name, pointer)) is not None:
                yield missing
            elif name in self.predicted[:index]:
                yield Problem(pointer, "repeated", "give each column once.")
        for index, name in enumerate(self.features or ()):
            pointer = f"/features/{index}"
            if (missing := _missing(report, name, pointer)) is not None:
                yield missing
            elif name in self.predicted:
                yield Problem(pointer, "contradiction", "is the column to predict, /predict.")
            elif self.features and name in self.features[:index]:
                yield Problem(pointer, "repeated", "give each column once.")
        if self.split_column is not None:
            yield from self._split_problems(report, self.split_column)
        if self.weights is not None:
            yield from self._weight_problems(report, self.weights)

    def _split_problems(self, report: Report, name: str) -> Iterator[Problem]:
        """Yield why the rows cannot be split by the column that the split names."""
        if (missing := _missing(report, name, "/split/column")) is not None:
            yield missing
        elif name in self.predicted:
            yield Problem("/split/column", "contradiction", "is the column to predict, /predict.")
        elif report.test:
            detail = "the file has its own rows to test on, so only a random split of the others fits: leave it out."
            yield Problem("/split", "contradiction", detail)
        elif self.folds and not isinstance(self.split, GroupSplit):
            yield _folds_in_time() if isinstance(self.split, TimeSplit) else _no_folds(f"a split by {self.split.kind}")
        elif isinstance(self.split, SplitBase):
            yield from self.split.column_problems(_column(report, name))

    def _weight_problems(self, report: Report, name: str) -> Iterator[Problem]:
        """Yield why the rows cannot be drawn by the column of weights; their signs are seen in the file alone."""
        if (missing := _missing(report, name, "/weights")) is not None:
            yield missing
        elif name in self.predicted or name in (self.features or ()):
            where = "/predict" if name in self.predicted else "/features"
            yield Problem("/weights", "contradiction", f"is a column of {where}: name it in one of the two.")
        else:
            yield from weight_column(_column(report, name))


def file_problems(upload: str, parts: Mapping[str, str], folds: int | None) -> Iterator[Problem]:
    """Yield what contradicts files of their own for the parts; `parts` are their uploads."""
    if folds:
        yield _no_folds("a split by files")
    named = {upload: "/upload"}
    for part, other in parts.items():
        if other in named:
            yield Problem(f"/split/{part}", "repeated", f"is the file of {named[other]}: name another upload.")
        named.setdefault(other, f"/split/{part}")


def _no_folds(what: str) -> Problem:
    detail = f"{what} has one validation part: leave it out, or split at random or by groups."
    return Problem("/folds", "contradiction", detail)


def _folds_in_time() -> Problem:
    """Refuse windows that expand: the correction of `significance` is for training parts of one size.

    Later windows train on all rows of the earlier ones and on more, so results of windows are not exchangeable.
    """
    detail = (
        "a split by time has no folds: windows that expand train on more and more rows, and how far their results "
        "depend on each other is not known, so no interval would hold. Post an experiment for each window, with "
        "/validation and /test of its own, and compare settings within a window over seeds."
    )
    return Problem("/folds", "contradiction", detail)


def _missing(report: Report, name: str, pointer: str) -> Problem | None:
    """Return the problem of a column that the file does not have."""
    if report.column(name) is not None:
        return None
    return Problem(pointer, "no_such_column", "the upload has no such column.", None, closest(name, report.names))


def _column(report: Report, name: str) -> Column:
    found = report.column(name)
    assert found is not None
    return found
