"""Columns of numbers as text: Arrow writes them five times as fast as Python's own json does."""

from typing import Any

import numpy as np
import numpy.typing as npt

from service.export.curves import SPELLED, Column


def numbers(name: str, column: Column, quoted: bool = True) -> Any:
    """An Arrow array of texts, each a JSON number, null, or the spelled name of what is no number."""
    import pyarrow as pa  # noqa: PLC0415  a tenth of a second and 40 MB that an idle API does without
    import pyarrow.compute as pc  # noqa: PLC0415

    texts = pc.cast(pa.array(column), pa.string())
    if column.dtype.kind != "f" or np.isfinite(column).all():
        return texts
    quote = '"' if quoted else ""
    nothing = "null" if quoted else ""
    nan = f"{quote}NaN{quote}" if name in SPELLED else nothing
    for where, word in (
        (np.isnan(column), nan),
        (column == np.inf, f"{quote}Infinity{quote}"),
        (column == -np.inf, f"{quote}-Infinity{quote}"),
    ):
        texts = pc.if_else(pa.array(where), word, texts)
    return texts


def lists(name: str, column: Column, bounds: npt.NDArray[np.int64]) -> list[str]:
    """The column of each series as the text of a JSON list."""
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.compute as pc  # noqa: PLC0415

    by_series = pa.ListArray.from_arrays(pa.array(bounds, pa.int32()), numbers(name, column))
    return [f"[{text or ''}]" for text in pc.binary_join(by_series, ",").to_pylist()]
