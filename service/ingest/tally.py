"""What is counted of one column while its batches go by: in one pass, with memory that does not grow with the rows."""

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from service.ingest.values import (
    THOUSANDS,
    Doubles,
    Unread,
    all_of,
    blank,
    canonical,
    distinct,
    every,
    first_text,
    has_point,
    is_code,
    is_declared_text,
    is_gap,
    is_text,
    lacking,
    names,
    parsed,
)
from service.spec.datasets.number_formats import WHOLE_WITH_POINTS
from service.spec.datasets.report import MAX_CLASSES, Column, ColumnType

MAX_LABEL = 200  # characters
WIDE, FEW = 200, 30  # columns of a wide table; different values that one of them may begin with
NAMED_ROWS = 5  # first rows without a value that a report names


class Gaps:
    """Rows without a value: how many, and the first ones, counted from 1."""

    def __init__(self) -> None:
        self.count = 0
        self.first: tuple[int, ...] = ()

    def add(self, gaps: npt.NDArray[np.bool_], before: int) -> None:
        """Those of the next batch; `before`: rows that were seen already."""
        self.count += int(gaps.sum())
        if len(self.first) < NAMED_ROWS:
            rows = np.flatnonzero(gaps)[: NAMED_ROWS - len(self.first)] + before + 1
            self.first += tuple(rows.tolist())


class Tally:
    """Counts of one column. `thousands`: a comma may divide thousands, so the file writes decimals with a point."""

    def __init__(self, name: str, among: int = 1, thousands: bool = True) -> None:
        self.name, self.wide, self.thousands = name, among > WIDE, thousands
        self.shape: tuple[int, ...] = ()
        self.rows = self.infinite = self.finite = 0
        self.gaps, self.text_gaps = Gaps(), Gaps()  # of a column of numbers, and of one of text
        self.mean = self.squares = 0.0  # of the finite values; `squares` is the sum of squared distances from the mean
        self.low, self.high = math.inf, -math.inf
        self.holds: str | None = None  # what is not read
        self.text = False  # some cell is no number
        self.text_row: int | None = None  # the first such one
        self.declared = False  # the file says that it is text
        self.commas = self.decimal = False  # decimal commas; some that cannot divide thousands
        self.points = self.divided = False  # decimal points; thousands that are divided
        self.whole_points = True  # the points may as well divide thousands
        self.whole = True
        self.counts: dict[str, int] | None = {}

    def add(self, array: Any) -> None:
        """The next batch."""
        if isinstance(array, Unread):
            self.holds, self.counts, self.text = array.kind, None, True
        if self.holds is None:
            self.declared = self.declared or is_declared_text(array)
            found = None if self.text else self._numbers(array)
            if found is None and not self.text:
                self.text, self.text_row = True, first_text(array, self.rows)
            if is_text(array) and (self.text or array.null_count):
                self.text_gaps.add(blank(array), self.rows)
            if found is not None:
                self.shape = found.shape[1:]
                self.gaps.add(lacking(found), self.rows)
                self._figures(found)
            self._count(array)
        self.rows += len(array)

    def _numbers(self, array: Any) -> Doubles | None:
        """The batch as numbers; None where it is text, or writes decimals otherwise than those before."""
        found = parsed(array)
        if found is None:
            return None
        self.divided = self.divided or found.divided
        if found.commas is not None and len(found.commas):
            unlike = (not THOUSANDS.fullmatch(cell) for cell in found.commas.to_pylist())
            self.decimal = self.decimal or found.divided or any(unlike)
            self.commas = True
        elif is_text(array):
            self._look_for_points(array, found.divided)
        return None if self.commas and self.points else found.values

    def _look_for_points(self, array: Any, divided: bool) -> None:
        """Whether the numbers of a batch without decimal commas are written with points."""
        if self.points and not (self.commas or self.whole_points):
            return  # nothing more to learn
        if divided or has_point(array):
            self.points = True
            self.whole_points = self.whole_points and not divided and all_of(every(array, WHOLE_WITH_POINTS))

    def _figures(self, found: Doubles) -> None:
        """Chan, Golub, LeVeque 1979: mean and squares of two parts together."""
        self.infinite += int(np.isinf(found).sum())
        values = found[np.isfinite(found)]
        if not values.size:
            return
        self.low, self.high = min(self.low, float(values.min())), max(self.high, float(values.max()))
        self.whole = self.whole and _is_whole(values)
        with np.errstate(over="ignore", invalid="ignore"):  # sums of values near the largest double
            mean = float(values.mean())
            squares = float(np.square(values - mean).sum())
            total = self.finite + values.size
            apart = mean - self.mean
            self.squares += squares + apart * apart * (self.finite * values.size / total)
            self.mean += apart * (values.size / total)
            self.finite = total

    def _count(self, array: Any) -> None:
        """Rows of each value, while there are few values."""
        if self.counts is None:
            return
        if self.shape:
            self.counts = None
            return
        values, places = distinct(array)
        if len(values) > MAX_CLASSES + 1:
            self.counts = None
            return
        rows = np.bincount(places[places >= 0], minlength=len(values)).tolist()
        for name, count in zip(names(values), rows, strict=True):
            if len(name) > MAX_LABEL or not name.isprintable():
                self.counts = None
                return
            self.counts[name] = self.counts.get(name, 0) + count
        if len(self.counts) > MAX_CLASSES or (self.wide and len(self.counts) > max(FEW, (self.rows + len(array)) // 3)):
            self.counts = None  # a class has 3 rows; thousands of columns of single values would fill the memory

    @property
    def unclear(self) -> bool:
        """Whether all points of a column of numbers may as well divide thousands."""
        return self.points and self.whole_points and not self.text

    def column(self) -> Column:
        """What was found, once every batch was added."""
        if self.holds is not None:
            return Column(name=self.name, type="other", holds=self.holds, missing=0)
        if self.commas and self.thousands and not self.decimal:
            self.text = True  # 1,234 may be either number
        kind = self._kind()
        classes = self._classes(kind)
        written = classes is not None and kind in ("integer", "number") and self._is_written()
        if self.text or not self.finite:
            gaps = self.text_gaps if self.text else self.gaps
            constant = classes is not None and len(classes) == 1 and not gaps.count
            return Column(
                name=self.name,
                type=kind,
                text_row=self.text_row,
                missing=gaps.count,
                missing_rows=gaps.first,
                constant=constant,
                classes=classes,
            )
        return Column(
            name=self.name,
            type=kind,
            shape=self.shape,
            as_written=written,
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
        """Exactly 0 of one and the same value, whose mean may be rounded."""
        if self.low == self.high:
            return 0.0
        return _finite(math.sqrt(self.squares / self.finite)) if self.squares >= 0 else None

    def _kind(self) -> ColumnType:
        if self.text:
            return "text"
        if self.counts and {name.strip().lower() for name in self._cells()} <= {"true", "false"}:
            return "boolean"
        return "integer" if self.whole and self.finite else "number"

    def _cells(self) -> list[str]:
        """Different cells of a column of numbers, those without a value left out."""
        return [name for name in self.counts or () if not is_gap(name)]

    def _is_written(self) -> bool:
        """Whether two spellings are two classes: of codes, divided thousands, and texts by the file's own word."""
        return self.declared or self.divided or any(map(is_code, self._cells()))

    def _classes(self, kind: ColumnType) -> dict[str, int] | None:
        """A column of numbers names its classes by value, however its cells spelt them, unless they are codes."""
        if self.counts is None:
            return None
        if kind == "text":
            return {name: rows for name, rows in self.counts.items() if name.strip()}
        as_written = kind != "boolean" and self._is_written()
        merged: dict[str, int] = {}
        for cell in self._cells():
            name = cell.strip() if as_written else canonical(cell)
            merged[name] = merged.get(name, 0) + self.counts[cell]
        return merged


def _is_whole(values: Doubles) -> bool:
    finite = values[np.isfinite(values)]
    return bool((finite == np.floor(finite)).all())


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
