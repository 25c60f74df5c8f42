"""Points that a trainer sent and that are not yet in the database, gathered into one chunk a series."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from service.db.metrics.codec import Chunk, pack

Array = npt.NDArray[np.float64]


class Pending:
    """Grows by frames; `take` hands everything over as chunks and starts anew."""

    def __init__(self) -> None:
        self._series: dict[str, list[tuple[npt.NDArray[np.int64], Array]]] = {}
        self.count = 0
        self.last_step = 0

    def add(self, series: Sequence[dict[str, Any]], payload: bytes) -> None:
        """One `points` frame: see worker.pipe for its layout."""
        at = 0
        for entry in series:
            n, first, every = entry["n"], entry["first"], entry["every"]
            if every:
                steps = first + every * np.arange(n, dtype=np.int64)
            else:
                steps = np.frombuffer(payload, "<i8", n, at).astype(np.int64)
                at += 8 * n
            values = np.frombuffer(payload, "<f8", n, at).astype(np.float64)
            at += 8 * n
            self._series.setdefault(entry["name"], []).append((steps, values))
            self.count += n
            self.last_step = max(self.last_step, int(steps[-1]))

    def note(self, step: int, values: Mapping[str, float]) -> None:
        """One point of each of these series, beside those that a frame brought up to the same step."""
        for name, value in values.items():
            self._series.setdefault(name, []).append((np.array([step], np.int64), np.array([value], np.float64)))
            self.count += 1

    def take(self) -> dict[str, Chunk]:
        """Everything gathered, one chunk a series."""
        taken, self._series, self.count = self._series, {}, 0
        return {name: _chunk(parts) for name, parts in taken.items()}


def _chunk(parts: list[tuple[npt.NDArray[np.int64], Array]]) -> Chunk:
    steps, values = zip(*parts, strict=True)
    return pack(np.concatenate(steps), np.concatenate(values))
