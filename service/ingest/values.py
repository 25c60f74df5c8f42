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
    found: Doubles = plain.cast(pa.float64()).to_numpy(zero_copy_only=False)
    return found


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
