"""The steps of a preparation: each fits one column with scikit-learn, and acts on many at once with numpy.

Rows (n, D) are floats, NaN where a value is missing; a column of categories has their positions. What `fit` returns is
JSON, stored with the run; `apply` gets it for each of its columns, and the places that it reads and writes.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from service.spec.preparation.base import Feature

Rows = npt.NDArray[Any]
Doubles = npt.NDArray[np.float64]
Fitted = Mapping[str, Any]  # of one column


class Places(NamedTuple):
    """Where one column is before a step, its first place after it, and that of what the step adds (None: nothing)."""

    before: int
    after: int
    added: int | None


class Step(Protocol):
    """A step of the preparation."""

    above: float | None  # what every value must be above; None: any value will do

    def fit(self, column: Rows, feature: Feature) -> Fitted:
        """Return what the step needs to know of a column of training rows (n, 1)."""

    def apply(self, rows: Rows, out: Rows, places: Sequence[Places], fitted: Sequence[Fitted]) -> None:
        """Write the step's columns into `out`, which is 0 there."""


class Impute:
    """Fill NaN with one value for each column."""

    above: float | None = None

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


class Transform:
    """What steps that change numbers one by one have in common."""

    above: float | None = None

    def fit(self, column: Rows, feature: Feature) -> Fitted:
        """Return nothing: the values alone decide."""
        return {}

    def apply(self, rows: Rows, out: Rows, places: Sequence[Places], fitted: Sequence[Fitted]) -> None:
        """Write the changed columns, computed in doubles."""
        values = rows[:, [each.before for each in places]].astype(np.float64)
        out[:, [each.after for each in places]] = self.change(values, fitted)

    def change(self, values: Doubles, fitted: Sequence[Fitted]) -> Doubles:
        """Return the values (n, k) changed; NaN stays NaN."""
        raise NotImplementedError


class Log1p(Transform):
    """log(1 + x)."""

    above = -1.0

    def change(self, values: Doubles, fitted: Sequence[Fitted]) -> Doubles:
        """Return the logarithms."""
        return np.log1p(values)


class Divide(Transform):
    """x / by."""

    def __init__(self, by: float) -> None:
        self.by = by

    def change(self, values: Doubles, fitted: Sequence[Fitted]) -> Doubles:
        """Return the quotients."""
        return values / self.by


class Power(Transform):
    """Powers after Yeo and Johnson (2000) or Box and Cox (1964)."""

    def __init__(self, method: Literal["yeo_johnson", "box_cox"] = "yeo_johnson") -> None:
        self.method = method
        self.above = 0.0 if method == "box_cox" else None

    def fit(self, column: Rows, feature: Feature) -> Fitted:
        """Return the exponent of greatest likelihood; 1 for a column without two different values."""
        from sklearn.preprocessing import PowerTransformer  # noqa: PLC0415  loads for a second

        present = column[~np.isnan(column)].reshape(-1, 1)
        if not len(present) or present.min() == present.max():
            return {"lambda": 1.0}
        fitted = PowerTransformer(method=self.method.replace("_", "-"), standardize=False).fit(present)
        return {"lambda": float(fitted.lambdas_[0])}

    def change(self, values: Doubles, fitted: Sequence[Fitted]) -> Doubles:
        """Return the powers; an exponent of 0 (for values below 0: of 2) stands for a logarithm."""
        exponents = np.array([each["lambda"] for each in fitted])
        if self.method == "box_cox":
            return _power(np.log(values), exponents)
        above = _power(np.log1p(np.maximum(values, 0)), exponents)
        below = -_power(np.log1p(-np.minimum(values, 0)), 2 - exponents)
        return np.where(values < 0, below, above)


class OwnStep(Transform):
    """A step of a plug-in, which knows one column at a time."""

    def __init__(self, own: Any) -> None:
        self.own = own

    def fit(self, column: Rows, feature: Feature) -> Fitted:
        """Return what the plug-in learned, as JSON has it."""
        found = self.own.fit(column[:, 0].astype(np.float64))
        as_json: Fitted = json.loads(json.dumps(found, default=_plain))
        return as_json

    def change(self, values: Doubles, fitted: Sequence[Fitted]) -> Doubles:
        """Return what the plug-in makes of each column."""
        columns = [self.own.change(column, each) for column, each in zip(values.T, fitted, strict=True)]
        return np.stack(columns, axis=1) if columns else values


def _plain(value: Any) -> Any:
    """Return numpy's numbers and arrays as Python's, for `json.dumps`."""
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} is not JSON: return numbers, texts and lists of them")


def _power(logarithms: Doubles, exponents: Doubles) -> Doubles:
    """Return (x^e - 1) / e of the logarithms of x (n, k)."""
    found = np.expm1(logarithms * exponents) / np.where(exponents == 0, 1.0, exponents)
    return np.where(exponents == 0, logarithms, found)


class Encoder:
    """What encoders have in common: the categories, and how many training rows each has."""

    above: float | None = None

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


class Embed(Encoder):
    """A code for each category, for a model to embed."""

    def __init__(self, min_rows: int = 1) -> None:
        self.min_rows = min_rows

    def fit(self, column: Rows, feature: Feature) -> Fitted:
        """Return also the code of each position, 0 for one that too few training rows have."""
        found = super().fit(column, feature)
        codes = [at if count >= self.min_rows else 0 for at, count in enumerate(found["counts"], 1)]
        return {**found, "numbers": codes}

    def apply(self, rows: Rows, out: Rows, places: Sequence[Places], fitted: Sequence[Fitted]) -> None:
        """Write the codes."""
        write_numbers(rows, out, places, fitted)


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
        write_numbers(rows, out, places, fitted)


def write_numbers(rows: Rows, out: Rows, places: Sequence[Places], fitted: Sequence[Fitted]) -> None:
    """Write the number of each row's category."""
    for place, known in zip(places, fitted, strict=True):
        out[:, place.after] = np.array(known["numbers"])[rows[:, place.before].astype(np.intp)]
