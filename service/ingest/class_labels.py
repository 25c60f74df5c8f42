"""Classes and what they are called: decided here alone, so that the report and the training agree.

A class that is a number is called by its value, however large: 2, 2.0 and 2e0 are one class. A text is its own name.
"""

import re
from decimal import Decimal
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from service.ingest.cells import is_missing

Indices = npt.NDArray[np.int64]
EXACT_BELOW = 2.0**53  # every whole number below it is a double
ALL_DIGITS_UP_TO = 10.0**40  # whole numbers up to it are called by all their digits
LEADING_ZERO = re.compile(r"[+-]?0[0-9]")


def unique_values(array: Any) -> tuple[Any, Indices]:
    """Return the different values, and for each row the index of its value; -1 where it has none."""
    if isinstance(array, np.ndarray):
        values, indices = np.unique(array, return_inverse=True)
        return values, indices.astype(np.int64)
    encoded = array.dictionary_encode()
    return encoded.dictionary, pc.fill_null(encoded.indices, -1).to_numpy(zero_copy_only=False).astype(np.int64)


def class_labels(values: Any) -> list[str]:
    """Return the label of each value; "" for NaN and the infinities, which are no classes."""
    return [_label(value) for value in (values.tolist() if isinstance(values, np.ndarray) else values.to_pylist())]


def _label(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if not np.isfinite(float(value)):
        return ""
    is_whole = isinstance(value, Decimal) and value == value.to_integral_value()
    return str(int(value)) if is_whole else number_label(float(value))


def number_label(value: float) -> str:
    """Return the label of a double: whole numbers without a point, as far as doubles tell them apart."""
    return str(int(value)) if value.is_integer() and abs(value) < EXACT_BELOW else repr(value)


def canonical_label(cell: str) -> str:
    """Return the class of a cell in a number column: by value, and whole numbers to the last digit."""
    cell = cell.strip().replace(",", ".", 1)
    if cell.lower() in ("true", "false"):
        return cell.lower()
    value = float(cell)
    if not value.is_integer() or abs(value) < EXACT_BELOW or abs(value) > ALL_DIGITS_UP_TO:
        return number_label(value)
    exact = Decimal(cell)
    return str(int(exact)) if exact == exact.to_integral_value() else number_label(value)


def has_leading_zero(cell: str) -> bool:
    """Whether a number is written as a code is, with leading zeros: 007 and 7 are two classes."""
    return LEADING_ZERO.match(cell.strip()) is not None


def class_indices(array: Any, classes: tuple[str, ...]) -> Indices:
    """Return class numbers (N,), -1 where a value is missing: by the label, else by the number that it spells.

    Reports from before whole numbers were told apart beyond 2**53 need the last step of `_class_index`.
    """
    known = {name: index for index, name in enumerate(classes)}
    values, indices = unique_values(array)
    found = [_class_index(known, name) for name in class_labels(values)]
    return np.array([*found, -1], np.int64)[indices]


def _class_index(known: dict[str, int], name: str) -> int:
    if name in known:
        return known[name]
    name = name.strip()
    if name in known or is_missing(name):
        return known.get(name, -1)
    spelt = canonical_label(name)
    return known[spelt] if spelt in known else known[number_label(float(spelt))]
