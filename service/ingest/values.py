"""Cells as numbers, as classes and as gaps: decided here alone, so that the report and the training agree.

A column of text whose cells all spell numbers is one of numbers. A comma in such a cell is a decimal comma. A class
that is a number is called by its value (2, 2.0 and 2e0 are one class), however large; text as it is written.
A CSV's numbers may have their thousands divided, where all cells of a column fit one way of writing and not another.
"""

import re
from decimal import Decimal
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from service.spec.datasets.number_formats import DIVIDERS, WITH_COMMA, WITH_DIVIDERS, WITH_POINT

Doubles = npt.NDArray[np.float64]
Places = npt.NDArray[np.int64]
EXACT = 2.0**53  # every whole number below it is a double
LONGEST = 10.0**40  # whole numbers up to it are called by all their digits
# What pandas, R, Excel and UCI write where there is no value; in a column of text only unquoted ones are missing.
MISSING = ("", "NA", "N/A", "NaN", "nan", "null", "NULL", "n/a", "None", "<NA>", "#N/A", "#NA", "?")
LEADING_ZERO = re.compile(r"[+-]?0[0-9]")
THOUSANDS = re.compile(r"[+-]?[1-9][0-9]{0,2}(,[0-9]{3})+")


class Unread(NamedTuple):
    """Rows of a column that nobody trains on as it is, such as dates and lists: how many, and of which type."""

    kind: str
    rows: int

    def __len__(self) -> int:
        return self.rows


class Parsed(NamedTuple):
    """Cells as numbers, NaN where one is missing; cells with a decimal comma; whether thousands are divided."""

    values: Doubles
    commas: Any = None
    divided: bool = False


def is_text(array: Any) -> bool:
    """Whether these are cells of text, which may still read as numbers."""
    return not isinstance(array, np.ndarray) and str(array.type) in ("string", "large_string")


def is_declared_text(array: Any) -> bool:
    """Whether the file itself says that these are texts, as JSON and Parquet do and CSV does not."""
    return not isinstance(array, np.ndarray) and str(array.type) == "large_string"


def numbers(array: Any) -> Doubles | None:
    """The values as doubles, NaN where one is missing; None: some cell of text is no number."""
    found = parsed(array)
    return None if found is None else found.values


def parsed(array: Any) -> Parsed | None:
    """The same, with the cells that have a decimal comma."""
    if isinstance(array, np.ndarray):
        return Parsed(array.astype(np.float64))
    import pyarrow as pa  # noqa: PLC0415  half a second, and most processes never read a file

    if not is_text(array):
        plain = array.cast(pa.uint8()) if pa.types.is_boolean(array.type) else array
        return Parsed(_doubles(plain))  # beyond 2**53: the nearest
    import pyarrow.compute as pc  # noqa: PLC0415

    trimmed = pc.utf8_trim_whitespace(array)
    try:
        return Parsed(_doubles(trimmed))
    except pa.ArrowInvalid:
        return _unusual(trimmed)


def _doubles(array: Any) -> Doubles:
    import pyarrow as pa  # noqa: PLC0415

    found: Doubles = array.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    return found


def _unusual(trimmed: Any) -> Parsed | None:
    """Numbers with gaps in quotes or decimal commas; or true and false, which are 1 and 0."""
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.compute as pc  # noqa: PLC0415

    filled = pc.if_else(pc.is_in(trimmed, pa.array(MISSING, trimmed.type)), None, trimmed)
    lower = pc.utf8_lower(filled)
    if pc.all(pc.is_in(lower, pa.array(["true", "false", None], trimmed.type)), min_count=0).as_py():
        return Parsed(_doubles(pc.equal(lower, "true").cast(pa.uint8())))
    if is_declared_text(trimmed):  # read in batches of another size than the report's, which may look otherwise
        return _decimal(filled, False)
    plain, spaced = filled, every(filled, WITH_DIVIDERS)
    if pc.any(spaced).as_py():
        plain = pc.if_else(spaced, pc.replace_substring_regex(filled, DIVIDERS, ""), filled)
    with_comma, with_point = (all_of(every(plain, way)) for way in (WITH_COMMA, WITH_POINT))
    if with_comma != with_point:
        plain = pc.replace_substring(plain, "." if with_comma else ",", "")
    return _decimal(plain, not plain.equals(filled))


def every(array: Any, pattern: str) -> Any:
    """Which cells of text match as a whole; null where one is missing."""
    import pyarrow.compute as pc  # noqa: PLC0415

    return pc.match_substring_regex(array, pattern)


def has_point(array: Any) -> bool:
    """Whether there is a point in any cell of text."""
    import pyarrow.compute as pc  # noqa: PLC0415

    return bool(pc.any(pc.match_substring(array, "."), min_count=0).as_py())


def first_text(array: Any, before: int) -> int | None:
    """The first row, from 1 and behind `before` others, whose cell is no number and no gap; None: each is one."""
    for row, cell in enumerate(array.to_pylist(), before + 1):
        if cell is not None and not is_gap(cell) and not is_number(cell):
            return row
    return None


def is_number(cell: str) -> bool:
    """Whether a cell spells a finite number, with a decimal comma or a point, thousands divided or not."""
    cell = cell.strip()
    if re.match(WITH_DIVIDERS, cell):
        cell = re.sub(DIVIDERS, "", cell)
    if cell.strip("+-") and (re.match(WITH_COMMA, cell) or re.match(WITH_POINT, cell)):
        return True
    try:
        return np.isfinite(float(cell.replace(",", ".", 1))) and "_" not in cell
    except ValueError:
        return False


def all_of(found: Any) -> bool:
    """Whether all that is not null is true."""
    import pyarrow.compute as pc  # noqa: PLC0415

    return bool(pc.all(found, min_count=0).as_py())


def _decimal(filled: Any, divided: bool) -> Parsed | None:
    """Numbers with decimal commas, or with decimal points; None where a column has both."""
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.compute as pc  # noqa: PLC0415

    commas = filled.filter(pc.fill_null(pc.match_substring(filled, ","), False))
    if len(commas) and pc.any(pc.match_substring(filled, ".")).as_py():
        return None
    try:
        return Parsed(_doubles(pc.replace_substring(filled, ",", ".", max_replacements=1)), commas, divided)
    except pa.ArrowInvalid:
        return None


def real_numbers(array: Any) -> npt.NDArray[Any]:
    """The values of a column that holds numbers alone: as float32 where its type fits into that, else as doubles."""
    dtype = array.dtype if isinstance(array, np.ndarray) else _numpy_type(array)
    found = array if isinstance(array, np.ndarray) else numbers(array)
    if found is None:
        raise ValueError("a column of numbers holds a text")
    return found.astype(np.float32 if np.can_cast(dtype, np.float32) else np.float64, copy=False)


def _numpy_type(array: Any) -> np.dtype[Any]:
    """Of an Arrow array; of texts and decimals a double."""
    import pyarrow as pa  # noqa: PLC0415

    plain = pa.types.is_primitive(array.type)
    return np.dtype(array.type.to_pandas_dtype()) if plain else np.dtype(np.float64)


def lacking(values: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Rows in which a number is missing."""
    gaps = np.isnan(values)
    if values.ndim > 1:
        gaps = gaps.reshape(len(values), -1)
        gaps = gaps.any(axis=1) if gaps.any() else np.zeros(len(values), np.bool_)  # by row is the slower one
    return np.asarray(gaps)


def blank(array: Any) -> npt.NDArray[np.bool_]:
    """Which cells of text have nothing in them."""
    import pyarrow.compute as pc  # noqa: PLC0415

    found = pc.fill_null(pc.equal(pc.utf8_trim_whitespace(array), ""), True)
    return np.asarray(found.to_numpy(zero_copy_only=False), np.bool_)


def distinct(array: Any) -> tuple[Any, Places]:
    """The different values, and for each row which one it has; -1 where it has none."""
    if isinstance(array, np.ndarray):
        values, places = np.unique(array, return_inverse=True)
        return values, places.astype(np.int64)
    import pyarrow.compute as pc  # noqa: PLC0415

    encoded = array.dictionary_encode()
    return encoded.dictionary, pc.fill_null(encoded.indices, -1).to_numpy(zero_copy_only=False).astype(np.int64)


def names(values: Any) -> list[str]:
    """What classes of these values are called; "" where one is no class: NaN and the infinities."""
    return [_name(value) for value in (values.tolist() if isinstance(values, np.ndarray) else values.to_pylist())]


def _name(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if not np.isfinite(float(value)):
        return ""
    return str(int(value)) if isinstance(value, Decimal) and value == value.to_integral_value() else label(float(value))


def label(value: float) -> str:
    """A double as a class is called: whole ones without a point, as far as doubles tell them apart."""
    return str(int(value)) if value.is_integer() and abs(value) < EXACT else repr(value)


def canonical(cell: str) -> str:
    """The class that a cell of a column of numbers belongs to: by value, and whole numbers to the last digit."""
    cell = cell.strip().replace(",", ".", 1)
    if cell.lower() in ("true", "false"):
        return cell.lower()
    value = float(cell)
    if not value.is_integer() or abs(value) < EXACT or abs(value) > LONGEST:
        return label(value)
    exact = Decimal(cell)
    return str(int(exact)) if exact == exact.to_integral_value() else label(value)


def is_gap(cell: str) -> bool:
    """Whether a cell among numbers stands for no value."""
    cell = cell.strip()
    return cell in MISSING or cell.lstrip("+-").lower() == "nan"


def is_code(cell: str) -> bool:
    """Whether a number is written as a code is, with leading zeros: 007 and 7 are two."""
    return LEADING_ZERO.match(cell.strip()) is not None


def labels(array: Any, classes: tuple[str, ...]) -> Places:
    """Class numbers (N,), -1 where a value is missing: by the name, else by the number that it spells.

    The last way is that of reports from before whole numbers were told apart beyond 2**53.
    """
    known = {name: place for place, name in enumerate(classes)}
    values, places = distinct(array)
    found = [_place(known, name) for name in names(values)]
    return np.array([*found, -1], np.int64)[places]


def _place(known: dict[str, int], name: str) -> int:
    if name in known:
        return known[name]
    name = name.strip()
    if name in known or is_gap(name):
        return known.get(name, -1)
    spelt = canonical(name)
    return known[spelt] if spelt in known else known[label(float(spelt))]
