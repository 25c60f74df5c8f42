"""Cells as numbers and as missing values: decided here alone, so that the report and the training agree.

A text column whose cells are all numbers is a number column. A comma in such a cell is a decimal comma. The numbers of
a CSV may have thousands separators, where all cells of the column fit one notation and not the other.
"""

import re
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from service.spec.datasets.number_formats import DIVIDERS, WITH_COMMA, WITH_DIVIDERS, WITH_POINT

Batch = dict[str, Any]  # column -> pyarrow array, numpy array (N, *shape), or `UnreadValues`
Doubles = npt.NDArray[np.float64]
# Written by pandas, R, Excel and UCI where there is no value; in a text column only unquoted ones count as missing.
MISSING = ("", "NA", "N/A", "NaN", "nan", "null", "NULL", "n/a", "None", "<NA>", "#N/A", "#NA", "?")
COMMA_GROUPS = re.compile(r"[+-]?[1-9][0-9]{0,2}(,[0-9]{3})+")  # 1,234,567


class UnreadValues(NamedTuple):
    """Rows of a column of a type that is not read, such as dates and lists."""

    kind: str
    rows: int

    def __len__(self) -> int:
        return self.rows


class PresentCells(NamedTuple):
    """The cells of a column that some rows of a batch lack."""

    array: Any
    at: npt.NDArray[np.int64] | None  # the rows of the batch that have a cell, from 0; None: all


class ParsedNumbers(NamedTuple):
    """Cells as numbers, NaN where one is missing; the cells with a decimal comma; whether thousands are separated."""

    values: Doubles
    commas: Any = None
    grouped: bool = False


def is_text(array: Any) -> bool:
    """Whether the cells are text, which may still read as numbers."""
    return not isinstance(array, np.ndarray) and str(array.type) in ("string", "large_string")


def is_declared_text(array: Any) -> bool:
    """Whether the file itself declares the cells to be text, as JSON and Parquet do and CSV does not."""
    return not isinstance(array, np.ndarray) and str(array.type) == "large_string"


def to_doubles(array: Any) -> Doubles | None:
    """Return the values as doubles, NaN where one is missing; None if a text cell is not a number."""
    found = parse_numbers(array)
    return None if found is None else found.values


def parse_numbers(array: Any) -> ParsedNumbers | None:
    """Return the values as doubles and how they are written; None if a text cell is not a number."""
    if isinstance(array, np.ndarray):
        return ParsedNumbers(array.astype(np.float64))
    if not is_text(array):
        plain = array.cast(pa.uint8()) if pa.types.is_boolean(array.type) else array
        return ParsedNumbers(_cast(plain))  # beyond 2**53: the nearest double
    trimmed = pc.utf8_trim_whitespace(array)
    try:
        return ParsedNumbers(_cast(trimmed))
    except pa.ArrowInvalid:
        return _parse_unusual(trimmed)


def _cast(array: Any) -> Doubles:
    found: Doubles = array.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    return found


def _parse_unusual(trimmed: Any) -> ParsedNumbers | None:
    """Parse numbers with quoted missing values, decimal commas or thousands separators; true and false are 1 and 0."""
    filled = pc.if_else(pc.is_in(trimmed, pa.array(MISSING, trimmed.type)), None, trimmed)
    lower = pc.utf8_lower(filled)
    if all_true(pc.is_in(lower, pa.array(["true", "false", None], trimmed.type))):
        return ParsedNumbers(_cast(pc.equal(lower, "true").cast(pa.uint8())))
    if is_declared_text(trimmed):  # training reads batches of another size, which could look like another notation
        return _parse_decimals(filled, False)
    plain, spaced = filled, matches(filled, WITH_DIVIDERS)
    if pc.any(spaced).as_py():
        plain = pc.if_else(spaced, pc.replace_substring_regex(filled, DIVIDERS, ""), filled)
    with_comma, with_point = (all_true(matches(plain, notation)) for notation in (WITH_COMMA, WITH_POINT))
    if with_comma != with_point:
        plain = pc.replace_substring(plain, "." if with_comma else ",", "")
    return _parse_decimals(plain, not plain.equals(filled))


def _parse_decimals(filled: Any, grouped: bool) -> ParsedNumbers | None:
    """Parse numbers with decimal commas or with decimal points; None where a column has both."""
    commas = filled.filter(pc.fill_null(pc.match_substring(filled, ","), False))
    if len(commas) and has_point(filled):
        return None
    try:
        return ParsedNumbers(_cast(pc.replace_substring(filled, ",", ".", max_replacements=1)), commas, grouped)
    except pa.ArrowInvalid:
        return None


def matches(array: Any, pattern: str) -> Any:
    """Return which text cells match the pattern; null where one is missing."""
    return pc.match_substring_regex(array, pattern)


def all_true(found: Any) -> bool:
    """Whether everything that is not null is true."""
    return bool(pc.all(found, min_count=0).as_py())


def has_point(array: Any) -> bool:
    """Whether any text cell has a point in it."""
    return bool(pc.any(pc.match_substring(array, "."), min_count=0).as_py())


def blank_cells(array: Any) -> npt.NDArray[np.bool_]:
    """Return which text cells are empty or missing."""
    found = pc.fill_null(pc.equal(pc.utf8_trim_whitespace(array), ""), True)
    return np.asarray(found.to_numpy(zero_copy_only=False), np.bool_)


def first_text(array: Any) -> int | None:
    """Return where the first cell is that is neither a number nor missing; None where there is none."""
    for at, cell in enumerate(array.to_pylist()):
        if cell is not None and not is_missing(cell) and not is_number(cell):
            return at
    return None


def is_missing(cell: str) -> bool:
    """Whether a cell of a number column stands for no value."""
    cell = cell.strip()
    return cell in MISSING or cell.lstrip("+-").lower() == "nan"


def is_number(cell: str) -> bool:
    """Whether a cell is a finite number, with a decimal comma or point, with thousands separators or without."""
    cell = cell.strip()
    if re.match(WITH_DIVIDERS, cell):
        cell = re.sub(DIVIDERS, "", cell)
    if cell.strip("+-") and (re.match(WITH_COMMA, cell) or re.match(WITH_POINT, cell)):
        return True
    try:
        return np.isfinite(float(cell.replace(",", ".", 1))) and "_" not in cell
    except ValueError:
        return False


def to_floats(array: Any) -> npt.NDArray[Any]:
    """Return the values of a number column: as float32 where its type fits into that, else as doubles."""
    dtype = array.dtype if isinstance(array, np.ndarray) else _numpy_type(array)
    found = array if isinstance(array, np.ndarray) else to_doubles(array)
    if found is None:
        raise ValueError("a column of numbers holds a text")
    return found.astype(np.float32 if np.can_cast(dtype, np.float32) else np.float64, copy=False)


def _numpy_type(array: Any) -> np.dtype[Any]:
    """Return the numpy type of an Arrow array; double for texts and decimals."""
    return np.dtype(array.type.to_pandas_dtype() if pa.types.is_primitive(array.type) else np.float64)


def rows_with_nan(values: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Return which rows miss a number."""
    gaps = np.isnan(values)
    if values.ndim > 1:
        gaps = gaps.reshape(len(values), -1)
        gaps = gaps.any(axis=1) if gaps.any() else np.zeros(len(values), np.bool_)  # by row is the slower one
    return np.asarray(gaps)
