"""Cells as numbers and as labels: decided here alone, so that the report and the training agree."""

from typing import Any

import numpy as np
import numpy.typing as npt

Doubles = npt.NDArray[np.float64]


def is_text(array: Any) -> bool:
    """Whether these are cells of text, which may still read as numbers."""
    return not isinstance(array, np.ndarray) and str(array.type) == "string"


def numbers(array: Any) -> Doubles | None:
    """The values as doubles, NaN where one is missing; None: some cell of text is no number."""
    if isinstance(array, np.ndarray):
        return array.astype(np.float64)
    if is_text(array):
        return _parsed(array)
    import pyarrow as pa  # noqa: PLC0415

    plain = array.cast(pa.uint8()) if pa.types.is_boolean(array.type) else array
    found: Doubles = plain.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)  # beyond 2**53: the nearest
    return found


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


def _parsed(array: Any) -> Doubles | None:
    """Numbers as Arrow reads them, spaces around them left out; true and false are 1 and 0."""
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.compute as pc  # noqa: PLC0415

    trimmed = pc.utf8_trim_whitespace(array)
    try:
        found: Doubles = trimmed.cast(pa.float64()).to_numpy(zero_copy_only=False)
    except pa.ArrowInvalid:
        lower = pc.utf8_lower(trimmed)
        if not pc.all(pc.is_in(lower, pa.array(["true", "false"])), skip_nulls=True).as_py() or array.null_count:
            return None
        found = pc.equal(lower, "true").cast(pa.uint8()).to_numpy(zero_copy_only=False).astype(np.float64)
    return found


def label(value: float) -> str:
    """A number as a class is called: whole ones without a point."""
    return str(int(value)) if value.is_integer() and abs(value) < 2**53 else repr(value)
