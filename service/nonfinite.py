"""NaN and the infinities in JSON, which has no such numbers: the strings "NaN", "Infinity" and "-Infinity"."""

import json
import math
from collections.abc import Mapping
from typing import Any


def spell(value: float) -> float | str:
    """A number as JSON can hold it."""
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")


def spelled(value: Any) -> Any:
    """A document with every non-finite number in it spelled."""
    if isinstance(value, float):
        return spell(value)
    if isinstance(value, Mapping):
        return {key: spelled(inner) for key, inner in value.items()}
    return [spelled(inner) for inner in value] if isinstance(value, list | tuple) else value


def dumps(document: Any) -> str:
    """JSON text that every reader takes, Postgres too."""
    return json.dumps(spelled(document), allow_nan=False)
