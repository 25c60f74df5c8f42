"""Series as numpy arrays."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Steps = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Points:
    """Values of one series and their steps, which count from 1."""

    step: Steps
    value: Floats

    @classmethod
    def of(cls, columns: Mapping[str, Any]) -> "Points":
        """Return the points of the JSON columns `step` and `value`."""
        return cls(steps(columns["step"]), floats(columns["value"]))


def floats(values: Sequence[Any]) -> Floats:
    """Return JSON numbers as an array: "NaN", "Infinity" and "-Infinity" as themselves, null as NaN."""
    return np.array(values, dtype=np.float64)


def steps(values: Sequence[int]) -> Steps:
    """Return step numbers as an array."""
    return np.array(values, dtype=np.int64)
