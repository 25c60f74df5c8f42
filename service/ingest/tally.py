"""What is counted of one column while its batches go by: in one pass, with memory that does not grow with the rows."""

import math
from typing import Any

import numpy as np

from service.ingest.values import Doubles, is_text, label, numbers
from service.spec.datasets.report import MAX_CLASSES, Column, ColumnType

MAX_LABEL = 200  # characters
WIDE, FEW = 200, 30  # columns of a wide table; different values that one of them may begin with


class Tally:
    """Counts of one column."""

    def __init__(self, name: str, among: int = 1) -> None:
        self.name, self.wide = name, among > WIDE
        self.shape: tuple[int, ...] = ()
        self.rows = self.missing = self.infinite = self.finite = 0
        self.mean = self.squares = 0.0  # of the finite values; `squares` is the sum of squared distances from the mean
        self.low, self.high = math.inf, -math.inf
        self.text = False  # some cell is no number
        self.whole = True
        self.counts: dict[str, int] | None = {}

    def add(self, array: Any) -> None:
        """The next batch."""
        self.rows += len(array)
        found = None if self.text else numbers(array)
        if found is None:
            self.text = True
            self.missing += array.null_count
        else:
            self.shape = found.shape[1:]
            self._figures(found)
        self._count(array, found)

    def _figures(self, found: Doubles) -> None:
        """Chan, Golub, LeVeque 1979: mean and squares of two parts together."""
        self.missing += int(np.isnan(found).sum())
        self.infinite += int(np.isinf(found).sum())
        values = found[np.isfinite(found)]
        if not values.size:
            return
        self.low, self.high = min(self.low, float(values.min())), max(self.high, float(values.max()))
        self.whole = self.whole and bool((values == np.floor(values)).all())
        with np.errstate(over="ignore", invalid="ignore"):  # sums of values near the largest double
            mean = float(values.mean())
            squares = float(np.square(values - mean).sum())
            total = self.finite + values.size
            apart = mean - self.mean
            self.squares += squares + apart * apart * (self.finite * values.size / total)
            self.mean += apart * (values.size / total)
            self.finite = total

    def _count(self, array: Any, found: Doubles | None) -> None:
        """Rows of each value, while there are few values."""
        if self.counts is None:
            return
        if self.shape:
            self.counts = None
            return
        for value, rows in _distinct(array, found):
            if len(value) > MAX_LABEL or not value.isprintable():
                self.counts = None
                return
            self.counts[value] = self.counts.get(value, 0) + rows
        if len(self.counts) > MAX_CLASSES or (self.wide and len(self.counts) > max(FEW, self.rows // 3)):
            self.counts = None  # a class has 3 rows; thousands of columns of single values would fill the memory

    def column(self) -> Column:
        """What was found, once every batch was added."""
        kind = self._kind()
        classes = self._classes(kind)
        if self.text or not self.finite:
            constant = classes is not None and len(classes) == 1 and not self.missing
            return Column(name=self.name, type=kind, missing=self.missing, constant=constant, classes=classes)
        return Column(
            name=self.name,
            type=kind,
            shape=self.shape,
            missing=self.missing,
            infinite=self.infinite,
            constant=self.low == self.high and not (self.missing or self.infinite),
            min=self.low,
            max=self.high,
            mean=_finite(self.mean),
            std=_finite(math.sqrt(self.squares / self.finite)) if self.squares >= 0 else None,
            classes=classes,
        )

    def _kind(self) -> ColumnType:
        if self.text:
            return "text"
        if self.counts and set(self.counts) <= {"true", "false"}:
            return "boolean"
        return "integer" if self.whole and self.finite else "number"

    def _classes(self, kind: ColumnType) -> dict[str, int] | None:
        """A column of numbers names its classes as numbers, however its cells spelt them."""
        if self.counts is None or kind in ("text", "boolean"):
            return self.counts
        merged: dict[str, int] = {}
        for value, rows in self.counts.items():
            name = canonical(value)
            merged[name] = merged.get(name, 0) + rows
        return merged


def canonical(cell: str) -> str:
    """The class that a cell of a column of numbers belongs to."""
    cell = cell.strip()
    return cell.lower() if cell.lower() in ("true", "false") else label(float(cell))


def _distinct(array: Any, found: Doubles | None) -> list[tuple[str, int]]:
    """Different values and their rows, missing ones left out."""
    if is_text(array):
        import pyarrow.compute as pc  # noqa: PLC0415

        pairs = pc.value_counts(array.drop_null())[: MAX_CLASSES + 1]
        return list(zip(pairs.field("values").to_pylist(), pairs.field("counts").to_pylist(), strict=True))
    assert found is not None
    values, rows = np.unique(found[np.isfinite(found)], return_counts=True)
    names = [_name(array, value) for value in values[: MAX_CLASSES + 1].tolist()]
    return list(zip(names, rows[: MAX_CLASSES + 1].tolist(), strict=True))


def _name(array: Any, value: float) -> str:
    """A number's class; of a boolean array true or false."""
    boolean = array.dtype.kind == "b" if isinstance(array, np.ndarray) else str(array.type) == "bool"
    return ("true" if value else "false") if boolean else label(value)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
