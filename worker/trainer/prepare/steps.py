"""The steps of a preparation: each fits one column with scikit-learn, and acts on many at once with numpy.

Rows (n, D) are floats, NaN where a value is missing; a column of categories has their positions. What `fit` returns is
JSON, stored with the run; `apply` gets it for each of its columns, and the places that it reads and writes.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from service.spec.preparation.base import Feature

Rows = npt.NDArray[Any]
Fitted = Mapping[str, Any]  # of one column


class Places(NamedTuple):
    """Where one column is before a step, its first place after it, and that of what the step adds (None: nothing)."""

    before: int
    after: int
    added: int | None


class Step(Protocol):
    """A step of the preparation."""

    def fit(self, column: Rows, feature: Feature) -> Fitted:
        """Return what the step needs to know of a column of training rows (n, 1)."""

    def apply(self, rows: Rows, out: Rows, places: Sequence[Places], fitted: Sequence[Fitted]) -> None:
        """Write the step's columns into `out`, which is 0 there."""


class Impute:
    """Fill NaN with one value for each column."""

    def __init__(self, strategy: str = "mean", value: float | str | None = None, indicator: bool = False) -> None:
        self.strategy, self.value = strategy, value

    def fit(self, column: Rows, feature: Feature) -> Fitted:
        """Return the value, 0 for a column without any; for a constant it is the one given."""
        from sklearn.impute import SimpleImputer  # noqa: PLC0415  loads for a second

        categories = feature.categories
        if isinstance(self.value, str):
            assert categories is not None, "the plan gives a text to categories only"
            known = (*categories, self.value)
            return {"value": known.index(self.value), "category": self.value, "filled": int(np.isnan(column).sum())}
        imputer = SimpleImputer(strategy=self.strategy, fill_value=self.value, keep_empty_features=True)
        value = float(imputer.fit(column).statistics_[0])
        named = {} if categories is None else {"category": categories[int(value)]}
        return {"value": value, **named, "filled": int(np.isnan(column).sum())}

    def apply(self, rows: Rows, out: Rows, places: Sequence[Places], fitted: Sequence[Fitted]) -> None:
        """Write the filled columns and their indicators."""
        before, after = [each.before for each in places], [each.after for each in places]
        values = np.array([each["value"] for each in fitted])
        missing = np.isnan(rows[:, before])
        out[:, after] = np.where(missing, values, rows[:, before])
        for at, place in enumerate(places):
            if place.added is not None:
                out[:, place.added] = missing[:, at]


class Encoder:
    """What encoders have in common: the categories, and how many training rows each has."""

    def fit(self, column: Rows, feature: Feature) -> Fitted:
        """Return the categories by position, with their counts."""
        names = feature.categories or ()
        counts = np.bincount(column[:, 0].astype(np.intp), minlength=len(names))
        return {"categories": list(names), "counts": counts.tolist()}


class OneHot(Encoder):
    """A column for each category."""

    def apply(self, rows: Rows, out: Rows, places: Sequence[Places], fitted: Sequence[Fitted]) -> None:
        """Write 1 in the column of each row's category; nowhere for one that the training rows lack."""
        for place, known in zip(places, fitted, strict=True):
            positions = rows[:, place.before].astype(np.intp)
            chosen = np.flatnonzero(np.array(known["counts"])[positions] > 0)
            out[chosen, place.after + positions[chosen]] = 1


class Ordinal(Encoder):
    """A number for each category."""

    def __init__(self, order: Sequence[str] | None = None) -> None:
        self.order = order

    def fit(self, column: Rows, feature: Feature) -> Fitted:
        """Return also the number of each position, -1 for one that the training rows lack."""
        found = super().fit(column, feature)
        names, counts = found["categories"], found["counts"]
        order = list(self.order or names)
        numbers = [order.index(name) if count else -1 for name, count in zip(names, counts, strict=True)]
        return {**found, "numbers": numbers}

    def apply(self, rows: Rows, out: Rows, places: Sequence[Places], fitted: Sequence[Fitted]) -> None:
        """Write the numbers."""
        for place, known in zip(places, fitted, strict=True):
            out[:, place.after] = np.array(known["numbers"])[rows[:, place.before].astype(np.intp)]
