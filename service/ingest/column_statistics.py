"""Statistics of one column: collected in one pass, with memory that does not grow with the rows."""

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from service.ingest.cells import (
    COMMA_GROUPS,
    Doubles,
    PresentCells,
    UnreadValues,
    all_true,
    blank_cells,
    first_text,
    has_point,
    is_declared_text,
    is_missing,
    is_text,
    matches,
    parse_numbers,
    rows_with_nan,
)
from service.ingest.class_labels import Indices, canonical_label, class_labels, has_leading_zero, unique_values
from service.spec.datasets.number_formats import WHOLE_WITH_POINTS
from service.spec.datasets.report import MAX_CLASSES, Column, ColumnType

MAX_LABEL = 200  # characters
WIDE_COLUMNS = 200  # a wider table keeps few counts a column
MIN_WIDE_CLASSES = 30  # different values that a column of a wide table may begin with
MAX_LISTED_ROWS = 5  # first rows without a value


class MissingRows:
    """Rows without a value: how many, and the first ones, counted from 1."""

    def __init__(self) -> None:
        self.count = 0
        self.first: tuple[int, ...] = ()

    def add(self, gaps: npt.NDArray[np.bool_], before: int) -> None:
        """Add those of the next batch, which follows `before` rows."""
        self.count += int(gaps.sum())
        if len(self.first) < MAX_LISTED_ROWS:
            rows = np.flatnonzero(gaps)[: MAX_LISTED_ROWS - len(self.first)] + before + 1
            self.first += tuple(rows.tolist())


class ColumnStatistics:
    """One column of a table of `columns`; `comma_groups`: commas may separate thousands, decimals have a point."""

    def __init__(self, name: str, columns: int = 1, comma_groups: bool = True) -> None:
        self.name, self.is_wide, self.comma_groups = name, columns > WIDE_COLUMNS, comma_groups
        self.shape: tuple[int, ...] = ()
        self.rows = self.infinite = self.finite = 0
        self.gaps, self.text_gaps = MissingRows(), MissingRows()  # if it is a column of numbers, if it is text
        self.mean = self.squares = 0.0  # of the finite values; `squares` is the sum of squared distances from the mean
        self.low, self.high = math.inf, -math.inf
        self.unread: str | None = None  # the type of values that are not read
        self.is_text = False  # some cell is not a number
        self.text_row: int | None = None  # the first such row
        self.declared = False  # the file declares it to be text
        self.commas = self.decimal_commas = False  # has decimal commas; some cannot separate thousands
        self.points = self.grouped = False  # has decimal points; has thousands separators
        self.only_whole_points = True  # the points may as well separate thousands
        self.is_whole = True
        self.counts: dict[str, int] | None = {}

    def add(self, array: Any) -> None:
        """Add the next batch, a cell for each row."""
        self.add_present(PresentCells(array, None), len(array))

    def add_missing(self, rows: int) -> None:
        """Add rows that have no cell."""
        if rows:
            self.gaps.add(np.ones(rows, np.bool_), self.rows)
            self.text_gaps.add(np.ones(rows, np.bool_), self.rows)
            self.rows += rows

    def add_present(self, cells: PresentCells, rows: int) -> None:
        """Add the next `rows` rows, of which some have a cell."""
        array, at = cells
        if isinstance(array, UnreadValues):
            self.unread, self.counts, self.is_text = array.kind, None, True
        if self.unread is None:
            self.declared = self.declared or is_declared_text(array)
            numbers = None if self.is_text else self._numbers(array)
            if numbers is None and not self.is_text:
                self.is_text, self.text_row = True, self._row_of(first_text(array), at)
            if is_text(array) and (self.is_text or array.null_count or at is not None):
                self.text_gaps.add(_spread(blank_cells(array), at, rows), self.rows)
            if numbers is not None:
                self.shape = numbers.shape[1:]
                self.gaps.add(_spread(rows_with_nan(numbers), at, rows), self.rows)
                self._add_numbers(numbers)
            self._count(array, rows)
        self.rows += rows

    def _row_of(self, place: int | None, at: Indices | None) -> int | None:
        """Return the row, from 1, of a cell of the next batch."""
        return None if place is None else self.rows + 1 + (place if at is None else int(at[place]))

    def _numbers(self, array: Any) -> Doubles | None:
        """Return the batch as numbers; None where it is text, or has another decimal mark than earlier batches."""
        found = parse_numbers(array)
        if found is None:
            return None
        self.grouped = self.grouped or found.grouped
        if found.commas is not None and len(found.commas):
            unlike_groups = (not COMMA_GROUPS.fullmatch(cell) for cell in found.commas.to_pylist())
            self.decimal_commas = self.decimal_commas or found.grouped or any(unlike_groups)
            self.commas = True
        elif is_text(array):
            self._look_for_points(array, found.grouped)
        return None if self.commas and self.points else found.values

    def _look_for_points(self, array: Any, grouped: bool) -> None:
        """Note whether numbers without decimal commas have points."""
        if self.points and not (self.commas or self.only_whole_points):
            return  # nothing more to learn
        if grouped or has_point(array):
            self.points = True
            self.only_whole_points = (
                self.only_whole_points and not grouped and all_true(matches(array, WHOLE_WITH_POINTS))
            )

    def _add_numbers(self, numbers: Doubles) -> None:
        """Merge mean and squares of two parts (Chan, Golub, LeVeque 1979)."""
        self.infinite += int(np.isinf(numbers).sum())
        values = numbers[np.isfinite(numbers)]
        if not values.size:
            return
        self.low, self.high = min(self.low, float(values.min())), max(self.high, float(values.max()))
        self.is_whole = self.is_whole and bool((values == np.floor(values)).all())
        with np.errstate(over="ignore", invalid="ignore"):  # sums of values near the largest double
            mean = float(values.mean())
            squares = float(np.square(values - mean).sum())
            total = self.finite + values.size
            apart = mean - self.mean
            self.squares += squares + apart * apart * (self.finite * values.size / total)
            self.mean += apart * (values.size / total)
            self.finite = total

    def _count(self, array: Any, batch_rows: int) -> None:
        """Count the rows of each value, while there are few values."""
        if self.counts is None:
            return
        if self.shape:
            self.counts = None
            return
        values, indices = unique_values(array)
        if len(values) > MAX_CLASSES + 1:
            self.counts = None
            return
        rows = np.bincount(indices[indices >= 0], minlength=len(values)).tolist()
        for label, count in zip(class_labels(values), rows, strict=True):
            if len(label) > MAX_LABEL or not label.isprintable():
                self.counts = None
                return
            self.counts[label] = self.counts.get(label, 0) + count
        most = max(MIN_WIDE_CLASSES, (self.rows + batch_rows) // 3) if self.is_wide else MAX_CLASSES
        if len(self.counts) > min(most, MAX_CLASSES):
            self.counts = None  # a class has 3 rows; thousands of columns of single values would fill the memory

    @property
    def has_ambiguous_points(self) -> bool:
        """Whether all points of a number column may as well separate thousands."""
        return self.points and self.only_whole_points and not self.is_text

    def as_column(self) -> Column:
        """Return what was found, once every batch is added."""
        if self.unread is not None:
            return Column(name=self.name, type="other", holds=self.unread, missing=0)
        if self.commas and self.comma_groups and not self.decimal_commas:
            self.is_text = True  # 1,234 may be either number
        kind = self._kind()
        classes = self._classes(kind)
        if self.is_text or not self.finite:
            gaps = self.text_gaps if self.is_text else self.gaps
            return Column(
                name=self.name,
                type=kind,
                text_row=self.text_row,
                missing=gaps.count,
                missing_rows=gaps.first,
                constant=classes is not None and len(classes) == 1 and not gaps.count,
                classes=classes,
            )
        return Column(
            name=self.name,
            type=kind,
            shape=self.shape,
            as_written=classes is not None and self._is_as_written(kind),
            missing=self.gaps.count,
            missing_rows=self.gaps.first,
            infinite=self.infinite,
            constant=self.low == self.high and not (self.gaps.count or self.infinite),
            min=self.low,
            max=self.high,
            mean=_finite(self.mean),
            std=self._deviation(),
            classes=classes,
        )

    def _deviation(self) -> float | None:
        """Return the standard deviation; exactly 0 of a constant, whose mean may be rounded."""
        if self.low == self.high:
            return 0.0
        return _finite(math.sqrt(self.squares / self.finite)) if self.squares >= 0 else None

    def _kind(self) -> ColumnType:
        if self.is_text:
            return "text"
        if self.counts and {name.strip().lower() for name in self._cells()} <= {"true", "false"}:
            return "boolean"
        return "integer" if self.is_whole and self.finite else "number"

    def _cells(self) -> list[str]:
        """Return the different cells of a number column that have a value."""
        return [name for name in self.counts or () if not is_missing(name)]

    def _is_as_written(self, kind: ColumnType) -> bool:
        """Whether two spellings are two classes: codes, grouped thousands, and texts that the file declares."""
        return kind in ("integer", "number") and (
            self.declared or self.grouped or any(map(has_leading_zero, self._cells()))
        )

    def _classes(self, kind: ColumnType) -> dict[str, int] | None:
        """Return the rows of each class: of numbers by value, however they are spelt, unless they are codes."""
        if self.counts is None:
            return None
        if kind == "text":
            return {name: rows for name, rows in self.counts.items() if name.strip()}
        as_written = self._is_as_written(kind)
        merged: dict[str, int] = {}
        for cell in self._cells():
            name = cell.strip() if as_written else canonical_label(cell)
            merged[name] = merged.get(name, 0) + self.counts[cell]
        return merged


def _spread(gaps: npt.NDArray[np.bool_], at: Indices | None, rows: int) -> npt.NDArray[np.bool_]:
    """Return which of the `rows` lack a value, from the `gaps` among the cells of the rows `at`."""
    if at is None:
        return gaps
    missing = np.ones(rows, np.bool_)
    missing[at] = gaps
    return missing


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
